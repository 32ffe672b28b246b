"""A request that takes longer than its function may: 504 from the function, which then answers others."""

import json
from collections.abc import Callable
from pathlib import Path

import boto3
import pytest

from coldpress.aws import Answer, send_signed
from emulator.server import Emulator
from examples.deployment import Deployment
from tests.handlers.bundles import write_bundle
from tests.handlers.models import loop

Ask = Callable[[int], Answer]


@pytest.fixture
def deployment(account: Emulator, tmp_path: Path) -> Deployment:
    """A model that is as slow as one asks for, with two seconds for a request, beside the other."""
    work = tmp_path / "work"
    work.mkdir()
    deployment = Deployment(work, "late")
    deployment.configure(
        model={"name": "loop"}, timeout_s=2, authorization="iam", provisioned_concurrency=None
    )
    deployment.push(write_bundle(tmp_path, loop(), name="loop"))
    deployment.deploy()
    return deployment


def test_a_late_run_is_504_with_a_sentence_and_the_next_one_is_answered(deployment: Deployment) -> None:
    url = deployment.output("EndpointUrl") + "/v1/models/loop:predict"

    def ask(steps: int) -> Answer:
        return send_signed(url, method="POST", body=json.dumps({"inputs": [steps]}).encode())

    late = ask(10**9)
    assert late.status == 504, late.body
    assert json.loads(late.body)["error"].startswith("the answer was not ready in the time")
    assert ask(1).status == 200
    name = deployment.output("FunctionName")
    function = boto3.client("lambda").get_function_configuration(FunctionName=name)
    assert function["Timeout"] == 2
