"""What `coldpress batch` runs, read from the template."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from infra.config import InvalidConfig

STAGE = {
    "model": {"name": "ocr", "version": 7, "digest": "0123456789abcdef" * 4},
    "batch": {"buckets": ["scans", "answers"]},
}
Synthesise = Callable[..., Any]


@pytest.fixture(scope="module")
def template(synthesise: Synthesise) -> Any:
    return synthesise(STAGE).stack("coldpress-dev")


def text(value: Any) -> str:
    """A string of the template, with the names of what it refers to."""
    match value:
        case {"Fn::Join": [delimiter, parts]}:
            return delimiter.join(text(part) for part in parts)
        case {"Fn::GetAtt": [resource, attribute]}:
            return f"<{resource}.{attribute}>"
        case {"Ref": name}:
            return f"<{name}>"
        case _:
            return str(value)


def statements(template: Any, description: str) -> set[tuple[str, str]]:
    """The action and the resource of all that a role may do."""
    (role,) = [
        name
        for name, body in template.all("AWS::IAM::Role").items()
        if body["Properties"]["Description"].startswith(f"coldpress: {description}")
    ]
    found = set()
    for statement in template.rights(role):
        actions, resources = (
            value if isinstance(value, list) else [value]
            for value in (statement["Action"], statement["Resource"])
        )
        found |= {(action, text(resource)) for action in actions for resource in resources}
    return found


def function(template: Any, what: str) -> tuple[str, dict[str, Any]]:
    (found,) = [
        (name, body["Properties"])
        for name, body in template.all("AWS::Lambda::Function").items()
        if what in body["Properties"]["Description"]
    ]
    return found


def definition(template: Any) -> dict[str, Any]:
    return json.loads(text(template.properties("AWS::StepFunctions::StateMachine")["DefinitionString"]))


def test_there_is_none_unless_it_is_asked_for(synthesise: Synthesise) -> None:
    plain = synthesise({"model": STAGE["model"]}).stack("coldpress-dev")
    assert plain.all("AWS::StepFunctions::StateMachine") == {}
    assert not [name for name in plain.outputs if "Batch" in name]


def test_all_objects_or_those_that_failed_are_answered_in_the_same_way(template: Any) -> None:
    states = definition(template)["States"]
    everything, rest = states["AllObjects"], states["FailedObjects"]
    assert everything["ItemReader"]["Resource"] == "arn:aws:states:::s3:listObjectsV2"
    assert rest["ItemReader"]["Resource"] == "arn:aws:states:::s3:getObject"
    assert {**everything, "ItemReader": 0} == {**rest, "ItemReader": 0}
    assert everything["ItemProcessor"]["ProcessorConfig"] == {
        "Mode": "DISTRIBUTED",
        "ExecutionType": "EXPRESS",
    }
    assert everything["ToleratedFailurePercentage"] == 100
    assert everything["MaxConcurrencyPath"] == "$.concurrency"


def test_the_function_runs_in_the_endpoints_image_by_another_command(template: Any) -> None:
    _, batch = function(template, "answers batches")
    _, endpoint = function(template, "answers for the model")
    assert batch["ImageConfig"]["Command"] == ["handlers.batch.app.handler"]
    assert batch["Code"] == endpoint["Code"]
    # It gives up after the endpoint, and a child of the map after five minutes.
    assert endpoint["Timeout"] < batch["Timeout"] < 300


def test_nobody_may_do_more_than_is_needed(template: Any) -> None:
    def on_objects(*actions: str) -> set[tuple[str, str]]:
        return {
            (f"s3:{action}", f"arn:<AWS::Partition>:s3:::{bucket}/*")
            for action in actions
            for bucket in ("scans", "answers")
        }

    item, _ = function(template, "answers batches")
    endpoint, _ = function(template, "answers for the model")
    machine = template.id_of("AWS::StepFunctions::StateMachine")
    children = f"arn:<AWS::Partition>:states:<AWS::Region>:<AWS::AccountId>:execution:<{machine}.Name>:*"
    log = {
        (action, resource) for action, resource in statements(template, "reads requests") if "logs:" in action
    }
    assert len(log) == 2
    assert statements(template, "reads requests") - log == on_objects("GetObject", "PutObject") | {
        ("lambda:InvokeFunction", f"<{endpoint}.Arn>:*")
    }
    assert statements(template, "lists requests") == on_objects(
        "GetObject", "PutObject", "ListMultipartUploadParts", "AbortMultipartUpload"
    ) | {
        ("s3:ListBucket", "arn:<AWS::Partition>:s3:::scans"),
        ("s3:ListBucket", "arn:<AWS::Partition>:s3:::answers"),
        ("lambda:InvokeFunction", f"<{item}.Arn>"),
        ("states:StartExecution", f"<{machine}>"),
        ("states:DescribeExecution", children),
        ("states:StopExecution", children),
    }


def test_the_command_finds_it_by_the_stacks_outputs(template: Any) -> None:
    machine = template.id_of("AWS::StepFunctions::StateMachine")
    assert template.outputs["BatchArn"] == {"Ref": machine}
    assert template.outputs["BatchBuckets"] == "scans answers"


@pytest.mark.parametrize(
    ("batch", "sentence"),
    [
        (True, 'coldpress.dev.batch is true, but it takes the buckets of requests and answers: {"buckets"'),
        ({}, "coldpress.dev.batch.buckets is missing: it takes a list of one or more buckets' names"),
        ({"buckets": []}, "coldpress.dev.batch.buckets is [], but it takes a list of one or more buckets'"),
        ({"buckets": ["s3://scans"]}, "coldpress.dev.batch.buckets is"),
    ],
)
def test_what_cannot_be_deployed_is_refused(synthesise: Synthesise, batch: Any, sentence: str) -> None:
    with pytest.raises(InvalidConfig) as refused:
        synthesise({**STAGE, "batch": batch})
    assert sentence in str(refused.value)
