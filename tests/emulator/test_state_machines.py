"""State machines with a Distributed Map: what they read, whom they ask, and the files that they leave."""

import json
import time
from typing import Any

import pytest

from emulator.audit import compare
from tests.emulator.stacks import Stack

ROLE = {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {}}}
FUNCTION = {
    "Type": "AWS::Lambda::Function",
    "Properties": {
        "Code": {"ImageUri": "echo:1"},
        "PackageType": "Image",
        "Timeout": 20,
        "Role": {"Fn::GetAtt": ["Role", "Arn"]},
    },
}
LISTED = {
    "Resource": "arn:aws:states:::s3:listObjectsV2",
    "Parameters": {"Bucket.$": "$.bucket", "Prefix.$": "$.prefix"},
}
READ = {
    "Resource": "arn:aws:states:::s3:getObject",
    "ReaderConfig": {"InputType": "JSON"},
    "Parameters": {"Bucket.$": "$.bucket", "Key.$": "$.file"},
}
ASK = {
    "Type": "Task",
    "Resource": "arn:aws:states:::lambda:invoke",
    "Parameters": {"FunctionName": "${Function.Arn}", "Payload.$": "$"},
    "OutputPath": "$.Payload.statusCode",
    "End": True,
}


def machine(reader: dict[str, Any], child: dict[str, Any], selector: dict[str, Any]) -> dict[str, Any]:
    """A state machine whose one state has ``child`` run for each item."""
    state = {
        "Type": "Map",
        "ItemReader": reader,
        "ItemSelector": selector,
        "ItemProcessor": {
            "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS"},
            "StartAt": "Child",
            "States": {"Child": child},
        },
        "MaxConcurrency": 2,
        "ToleratedFailurePercentage": 100,
        "ResultWriter": {
            "Resource": "arn:aws:states:::s3:putObject",
            "Parameters": {"Bucket.$": "$.bucket", "Prefix.$": "$.results"},
        },
        "End": True,
    }
    definition = json.dumps({"StartAt": "Each", "States": {"Each": state}})
    properties = {"DefinitionString": {"Fn::Sub": definition}, "RoleArn": {"Fn::GetAtt": ["Role", "Arn"]}}
    return {"Type": "AWS::StepFunctions::StateMachine", "Properties": properties}


@pytest.fixture
def bucket(stack: Stack) -> Any:
    name = f"b-{stack.name.lower()[:50].strip('-')}"
    stack.client("s3").create_bucket(Bucket=name)
    return name


def run(stack: Stack, bucket: str, **more: str) -> dict[str, Any]:
    """The output of an execution, which must succeed."""
    client = stack.client("stepfunctions")
    started = client.start_execution(
        stateMachineArn=stack.physical_ids["Machine"],
        name="one",
        input=json.dumps({"bucket": bucket, "results": "results", **more}),
    )

    deadline = time.monotonic() + 60
    while (told := client.describe_execution(executionArn=started["executionArn"]))["status"] == "RUNNING":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert told["status"] == "SUCCEEDED", told
    return json.loads(told["output"])


def files(stack: Stack, details: dict[str, str]) -> dict[str, list[Any]]:
    """The entries of the result files that a manifest names."""

    def read(key: str) -> Any:
        return json.loads(stack.client("s3").get_object(Bucket=details["Bucket"], Key=key)["Body"].read())

    named = read(details["Key"])["ResultFiles"]
    return {kind: [entry for file in named[kind] for entry in read(file["Key"])] for kind in named}


def test_every_object_of_several_pages_is_read(stack: Stack, bucket: str) -> None:
    s3 = stack.client("s3")
    for number in range(1_100):
        s3.put_object(Bucket=bucket, Key=f"in/{number:04}", Body=b"")
    child = {"Type": "Pass", "End": True}
    stack.create({"Role": ROLE, "Machine": machine(LISTED, child, {"of.$": "$$.Map.Item.Value.Key"})})
    output = run(stack, bucket, prefix="in/")
    found = files(stack, output["ResultWriterDetails"])
    asked = sorted(json.loads(entry["Input"])["of"] for entry in found["SUCCEEDED"])
    assert asked == [f"in/{number:04}" for number in range(1_100)]
    assert (found["FAILED"], found["PENDING"]) == ([], [])


@pytest.mark.usefixtures("echo_image")
def test_functions_are_asked_and_what_they_raise_is_kept(stack: Stack, bucket: str) -> None:
    items = [{"do": "nothing"}, {"do": "raise"}]
    stack.client("s3").put_object(Bucket=bucket, Key="items.json", Body=json.dumps(items))
    selector = {"queryStringParameters": {"do.$": "$$.Map.Item.Value.do"}}
    resources = {"Role": ROLE, "Function": FUNCTION, "Machine": machine(READ, ASK, selector)}
    stack.create(resources)
    assert compare(stack.name, {"Resources": resources}, stack.cloudformation) == []
    found = files(stack, run(stack, bucket, file="items.json")["ResultWriterDetails"])
    (answered,), (failed,) = found["SUCCEEDED"], found["FAILED"]
    assert (answered["Status"], json.loads(answered["Output"])) == ("SUCCEEDED", 200)
    assert (failed["Status"], failed["Error"]) == ("FAILED", "ValueError")
    assert json.loads(failed["Cause"])["errorMessage"] == "as asked"
    assert json.loads(failed["Input"]) == {"queryStringParameters": {"do": "raise"}}


def test_a_state_machine_is_changed_in_place_and_goes_with_its_stack(stack: Stack) -> None:
    child = {"Type": "Pass", "End": True}
    stack.create({"Role": ROLE, "Machine": machine(LISTED, child, {"of": "one"})})
    arn = stack.physical_ids["Machine"]
    changed = {"Role": ROLE, "Machine": machine(LISTED, child, {"of": "two"})}
    stack.update(changed)
    assert (stack.status, stack.physical_ids["Machine"]) == ("UPDATE_COMPLETE", arn)
    assert compare(stack.name, {"Resources": changed}, stack.cloudformation) == []
    described = stack.client("stepfunctions").describe_state_machine(stateMachineArn=arn)
    assert '"two"' in described["definition"]
    stack.update({"Role": ROLE})
    assert stack.client("stepfunctions").list_state_machines()["stateMachines"] == []
