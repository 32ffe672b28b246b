"""Who asks is told: CodeDeploy through its API, CloudFormation at the URL that it sends."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest

from handlers.inference.service import Service
from handlers.pretraffic import app
from tests.handlers.pretraffic.aws import Bundles, Versions


class CloudFormation:
    """What waits at the URL, and what it was told."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        told = self.told

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                # A URL that S3 signed without a media type is good for none.
                assert not self.headers["content-type"]
                told.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)

    def ask(self, kind: str, resource: str, **more: Any) -> dict[str, Any]:
        event = {
            "RequestType": kind,
            "ResourceType": resource,
            "ResponseURL": f"http://127.0.0.1:{self.server.server_port}/answer",
            "StackId": "stack",
            "RequestId": "request",
            "LogicalResourceId": "Logical",
            "ResourceProperties": {"ServiceToken": "arn"},
            **more,
        }
        app.handler(event, None)
        answer = self.told.pop()
        assert {key: answer[key] for key in ("StackId", "RequestId", "LogicalResourceId")} == {
            "StackId": "stack",
            "RequestId": "request",
            "LogicalResourceId": "Logical",
        }
        return answer


@pytest.fixture
def cloudformation() -> Iterator[CloudFormation]:
    waiting = CloudFormation()
    Thread(target=waiting.server.serve_forever, daemon=True).start()
    yield waiting
    waiting.server.shutdown()
    waiting.server.server_close()


@pytest.fixture
def codedeploy() -> list[dict[str, str]]:
    """What CodeDeploy is told."""
    return []


@pytest.fixture
def versions(
    affine_bundle: Path, codedeploy: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> Versions:
    """The version that the function's variables name."""
    versions = Versions(Service.from_folder(affine_bundle))
    client = SimpleNamespace(put_lifecycle_event_hook_execution_status=lambda **call: codedeploy.append(call))
    clients = {"s3": Bundles(affine_bundle), "lambda": versions, "codedeploy": client}
    monkeypatch.setattr(app, "_client", clients.__getitem__)
    for name, value in {
        "FUNCTION": "endpoint",
        "FUNCTION_VERSION": "7",
        "MODEL": "toy",
        "DIGEST": affine_bundle.name,
        "BUCKET": "registry",
        "LATENCY_FACTOR": "5000",
    }.items():
        monkeypatch.setenv(f"COLDPRESS_{name}", value)
    return versions


BROKEN = {"errorType": "Runtime.ExitError", "errorMessage": "it ended"}


@pytest.mark.parametrize(("error", "status"), [(None, "Succeeded"), (BROKEN, "Failed")])
def test_codedeploy_is_told_whether_the_version_may_serve(versions, codedeploy, capsys, error, status):
    versions.error = error
    app.handler({"DeploymentId": "d-1", "LifecycleEventHookExecutionId": "h-1"}, None)
    assert codedeploy == [{"deploymentId": "d-1", "lifecycleEventHookExecutionId": "h-1", "status": status}]
    record = json.loads(capsys.readouterr().err.splitlines()[-1])
    assert (record["problem"] is None) == (error is None) == bool(record.get("cpus"))


def test_the_first_version_is_checked_when_its_stack_is_made(versions, cloudformation):
    assert cloudformation.ask("Create", "Custom::ModelCheck")["Status"] == "SUCCESS"
    versions.error = BROKEN
    answer = cloudformation.ask("Create", "Custom::ModelCheck")
    assert answer["Status"] == "FAILED"
    assert answer["Reason"].startswith("the version fails: Runtime.ExitError: it ended")


@pytest.mark.parametrize("kind", ["Update", "Delete"])
def test_nothing_that_a_rollback_must_pass_can_fail(versions, cloudformation, kind):
    versions.error = BROKEN
    assert cloudformation.ask(kind, "Custom::ModelCheck", PhysicalResourceId="checked")["Status"] == "SUCCESS"


def test_a_check_that_cannot_be_made_is_no_success(versions, cloudformation, monkeypatch):
    monkeypatch.delenv("COLDPRESS_MODEL")
    answer = cloudformation.ask("Create", "Custom::ModelCheck")
    assert answer["Status"] == "FAILED"
    assert answer["Reason"] == "the version could not be checked: KeyError: 'COLDPRESS_MODEL'"


def test_provisioned_concurrency_goes_with_its_version(versions, cloudformation):
    kind = "Custom::ProvisionedConcurrency"
    properties = {"FunctionName": "endpoint", "Version": "7"}
    made = cloudformation.ask("Create", kind, ResourceProperties=properties)
    assert (made["Status"], made["PhysicalResourceId"]) == ("SUCCESS", "endpoint:7")
    # Another id: CloudFormation deletes the old one in its clean-up.
    moved = cloudformation.ask(
        "Update", kind, ResourceProperties={**properties, "Version": "8"}, PhysicalResourceId="endpoint:7"
    )
    assert (moved["PhysicalResourceId"], versions.released) == ("endpoint:8", [])
    gone = cloudformation.ask("Delete", kind, ResourceProperties=properties, PhysicalResourceId="endpoint:7")
    assert (gone["Status"], versions.released) == ("SUCCESS", [("endpoint", "7")])


def test_what_has_no_provisioned_concurrency_any_more_is_gone_as_well(versions, cloudformation):
    properties = {"FunctionName": "endpoint", "Version": "9"}
    for physical_id in ("endpoint:9", "an id that CloudFormation made up"):
        gone = cloudformation.ask(
            "Delete",
            "Custom::ProvisionedConcurrency",
            ResourceProperties=properties,
            PhysicalResourceId=physical_id,
        )
        assert gone["Status"] == "SUCCESS"
    assert versions.released == []
