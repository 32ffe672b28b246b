"""A second version beside the one that serves: it gets its share, is compared, and goes without a trace."""

import hashlib
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import onnx
import pytest
from botocore.exceptions import ClientError
from onnx import helper

from coldpress.aws import send_signed
from examples.deployment import BIN, Deployment
from tests.e2e.cloud import Cloud
from tests.handlers.bundles import write_bundle
from tests.handlers.models import build_model

NAME, SHARE, REQUESTS = "doubted", 0.25, 200
ROWS = np.eye(3, dtype=np.float32)


def scores(factors: list[float], name: str = "") -> onnx.ModelProto:
    """y = x * factors, three scores a row; ``name`` makes another bundle of the same model."""
    node = helper.make_node("Mul", ["x", "factors"], ["y"], name=name)
    rows = ("float32", ["rows", 3])
    return build_model([node], {"x": rows}, {"y": rows}, {"factors": np.float32(factors)})


class Endpoint:
    """The stage, its clients, and what CloudWatch counts of both versions."""

    def __init__(self, deployment: Deployment, folder: Path) -> None:
        self.deployment = deployment
        self._folder = folder

    def push(self, factors: list[float], *, name: str = "", shadow: bool = False) -> None:
        golden = [({"x": ROWS}, {"y": ROWS * np.float32(factors)})]
        bundle = write_bundle(self._folder, scores(factors, name), name=NAME, golden=golden)
        if not shadow:
            self.deployment.push(bundle)
            return
        command = ["push", str(bundle), "--pin", self.deployment.stage, "--shadow", str(SHARE)]
        subprocess.run([str(BIN / "coldpress"), *command], check=True, cwd=self.deployment.work)

    @property
    def model(self) -> dict[str, Any]:
        config = json.loads((self.deployment.work / "cdk.json").read_text())
        model: dict[str, Any] = config["context"]["coldpress"][self.deployment.stage]["model"]
        return model

    def ask(self, inference_id: str, row: int) -> list[float]:
        answer = send_signed(
            f"{self.deployment.output('EndpointUrl')}/v1/models/{NAME}:predict",
            method="POST",
            body=json.dumps({"instances": [ROWS[row].tolist()]}).encode(),
            headers={"x-inference-id": inference_id},
        )
        assert answer.status == 200, answer.body
        (scores,) = json.loads(answer.body)["predictions"]
        return list(scores)

    def figures(self, version: int, metric: str, statistic: str = "Sum") -> float:
        return figures("coldpress", metric, statistic, Model=NAME, Version=str(version))

    def shadow(self, version: int) -> str:
        """The function of the shadow."""
        functions = boto3.client("lambda").list_functions()["Functions"]
        variables = {entry["FunctionName"]: entry["Environment"]["Variables"] for entry in functions}
        (found,) = [
            name
            for name, of in variables.items()
            if (of.get("COLDPRESS_MODEL"), of.get("COLDPRESS_VERSION")) == (NAME, str(version))
        ]
        return found

    def ask_all(self, prefix: str) -> list[int]:
        """Send the requests; the rows of those that the shadow must have got."""
        ids = [(f"{prefix}-{number}", number % 3) for number in range(REQUESTS)]
        for inference_id, row in ids:
            assert self.ask(inference_id, row) == ROWS[row].tolist()
        return [row for inference_id, row in ids if is_chosen(inference_id)]

    @property
    def version(self) -> str:
        """What serves."""
        function = self.deployment.output("FunctionName")
        return str(boto3.client("lambda").get_alias(FunctionName=function, Name="live")["FunctionVersion"])

    def coldpress(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(BIN / "coldpress"), *arguments]
        return subprocess.run(command, check=False, cwd=self.deployment.work, capture_output=True, text=True)


def figures(namespace: str, metric: str, statistic: str, **dimensions: str) -> float:
    """What CloudWatch has of a metric."""
    named = [{"Name": name, "Value": value} for name, value in dimensions.items()]
    of = {"Namespace": namespace, "MetricName": metric, "Dimensions": named}
    query = {"Id": "asked", "MetricStat": {"Metric": of, "Period": 172_800, "Stat": statistic}}
    found = boto3.client("cloudwatch").get_metric_data(
        MetricDataQueries=[query], StartTime=time.time() - 86_400, EndTime=time.time() + 60
    )["MetricDataResults"][0]["Values"]
    return float(sum(found))


def is_chosen(inference_id: str) -> bool:
    return int.from_bytes(hashlib.sha256(inference_id.encode()).digest()[:8], "big") < SHARE * 2**64


def until(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 30
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@pytest.fixture
def endpoint(cloud: Cloud, tmp_path: Path) -> Endpoint:
    assert cloud.deployment
    work = tmp_path / "work"
    work.mkdir()
    deployment = Deployment(work, "doubted")
    deployment.configure(
        model={"name": NAME},
        provisioned_concurrency=None,
        throttling={"rate": 10_000, "burst": 5_000},
        rollout={"type": "all_at_once"},
    )
    return Endpoint(deployment, tmp_path)


@pytest.mark.slow
def test_a_shadow_gets_its_share_and_is_compared(endpoint: Endpoint) -> None:
    endpoint.push([1, 1, 1])
    endpoint.push([1, 1, 1], name="again", shadow=True)
    assert endpoint.model["shadow"] == {**endpoint.model["shadow"], "version": 2, "share": SHARE}
    endpoint.deployment.deploy()
    stack, function = endpoint.deployment.stack, endpoint.shadow(2)
    # The check before the traffic asked the new version, too, under ids that Lambda made up.
    checked = figures("AWS/Lambda", "AsyncEventsReceived", "Sum", FunctionName=function)
    chosen = endpoint.ask_all("same")
    assert 30 < len(chosen) < 70
    assert until(lambda: endpoint.figures(2, "ShadowRequests") >= checked + len(chosen))
    assert endpoint.figures(2, "ShadowRequests") == checked + len(chosen)
    assert endpoint.figures(2, "ShadowErrors") == 0
    assert endpoint.figures(2, "ShadowAgreement", "Minimum") == 1
    assert endpoint.figures(2, "ShadowDifference", "Maximum") == 0
    assert endpoint.figures(1, "Requests") >= REQUESTS
    assert endpoint.figures(2, "Requests") == 0
    status = endpoint.coldpress("status", stack).stdout
    assert "0.25 of the requests: agreement 100.00% within a day" in status

    served = endpoint.version
    endpoint.push([1, 1, -1], shadow=True)  # its third class never wins
    endpoint.deployment.deploy()
    assert endpoint.version == served
    chosen = endpoint.ask_all("other")
    assert until(lambda: endpoint.figures(3, "ShadowRequests") >= len(chosen))
    assert endpoint.figures(3, "ShadowRequests") == len(chosen)
    share = sum(row != 2 for row in chosen) / len(chosen)
    assert endpoint.figures(3, "ShadowAgreement", "Average") == pytest.approx(share)
    assert endpoint.figures(3, "ShadowDifference", "Maximum") == 2

    assert endpoint.shadow(3) == function
    endpoint.deployment.change(model={"shadow": None})
    endpoint.deployment.deploy()
    with pytest.raises(ClientError, match="not found"):
        boto3.client("lambda").get_function(FunctionName=function)
    assert endpoint.ask("alone", 0) == [1, 0, 0]
    assert "shadow" not in endpoint.coldpress("status", stack).stdout
