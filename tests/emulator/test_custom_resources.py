"""Custom resources: what their function is sent, and what its answers make of the stack."""

import json

import pytest

from tests.emulator.stacks import Stack

ROLE = {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {}}}
FUNCTION = {
    "Type": "AWS::Lambda::Function",
    "Properties": {
        "Code": {"ImageUri": "echo:1"},
        "PackageType": "Image",
        "Role": {"Fn::GetAtt": ["Role", "Arn"]},
        "ImageConfig": {"Command": ["hooks.handler"]},
        "Timeout": 20,
    },
}


def resources(kind="Custom::Thing", **properties):
    thing = {"Type": kind, "Properties": {"ServiceToken": {"Fn::GetAtt": ["Function", "Arn"]}, **properties}}
    return {"Role": ROLE, "Function": FUNCTION, "Thing": thing}


def sent(stack: Stack) -> list[tuple[str, str | None]]:
    """Every request that the function got, with the physical id in it."""
    logs = (stack.emulator.state_dir / "logs" / stack.physical_ids["Function"]).glob("*.log")
    lines = [line for log in sorted(logs) for line in log.read_text().splitlines()]
    seen = [json.loads(line) for line in lines if line.startswith('{"seen"')]
    return [(event["seen"], event["id"]) for event in seen]


@pytest.fixture
def made(stack: Stack, echo_image: None) -> Stack:
    output = {"Asked": {"Value": {"Fn::GetAtt": ["Thing", "Asked"]}}}
    stack.create(resources(Id="a", Number=3, Flag=True), Outputs=output)
    assert stack.status == "CREATE_COMPLETE", stack.reasons("CREATE_FAILED")
    return stack


def test_creation_sends_what_aws_sends(made):
    outputs = made.cloudformation.describe_stacks(StackName=made.name)["Stacks"][0]["Outputs"]
    asked = json.loads(outputs[0]["OutputValue"])
    assert made.physical_ids["Thing"] == "a"
    assert asked["RequestType"] == "Create"
    assert asked["ResourceType"] == "Custom::Thing"
    assert asked["LogicalResourceId"] == "Thing"
    assert made.name in asked["StackId"]
    assert asked["ResourceProperties"] | {"Number": "3", "Flag": "true"} == asked["ResourceProperties"]
    assert "PhysicalResourceId" not in asked


def test_an_update_goes_to_the_resource_with_its_old_properties(made):
    made.update(resources(Id="a", Number=4))
    assert sent(made) == [("Create", None), ("Update", "a")]


def test_another_id_in_an_update_deletes_the_old_resource(made):
    made.update(resources(Id="b"))
    assert made.physical_ids["Thing"] == "b"
    assert sent(made) == [("Create", None), ("Update", "a"), ("Delete", "a")]


def test_what_a_template_no_longer_names_is_deleted(made):
    made.update({"Role": ROLE, "Function": FUNCTION})
    assert sent(made)[-1] == ("Delete", "a")


def test_a_failed_update_leaves_the_resource_and_says_why(made):
    made.update(resources(Id="b", Fails=["Update"]))
    assert made.status == "UPDATE_ROLLBACK_COMPLETE"
    assert "as asked" in made.reasons("UPDATE_FAILED")[0]
    assert made.physical_ids["Thing"] == "a"


def test_a_failed_creation_rolls_the_stack_back(stack, echo_image):
    stack.create(resources(kind="AWS::CloudFormation::CustomResource", Id="a", Fails=["Create"]))
    assert stack.status == "ROLLBACK_COMPLETE"
    assert "as asked" in stack.reasons("CREATE_FAILED")[0]


def test_a_function_that_never_answers_fails_at_once(stack, echo_image):
    stack.create(resources(Id="a", Silent=True))
    assert stack.status == "ROLLBACK_COMPLETE"
    assert "did not receive a response" in stack.reasons("CREATE_FAILED")[0]


def test_a_function_that_is_not_there_fails(stack, echo_image):
    nobody = resources(Id="a")
    nobody["Thing"]["Properties"]["ServiceToken"] = "arn:aws:lambda:us-east-1:123456789012:function:nobody"
    stack.create(nobody)
    assert "Function not found" in stack.reasons("CREATE_FAILED")[0]
