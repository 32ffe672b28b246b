"""A second version beside the one that serves: it gets its share, is compared, and goes without a trace."""

import hashlib
import json
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import onnx
import pytest
from botocore.exceptions import ClientError
from onnx import helper

from coldpress.aws import send_signed
from emulator.server import Emulator
from tests.e2e.endpoint import Endpoint, figure, until
from tests.handlers.bundles import write_bundle
from tests.handlers.models import build_model

NAME, SHARE, REQUESTS = "doubted", 0.25, 200
ROWS = np.eye(3, dtype=np.float32)


def scores(factors: list[float], name: str = "") -> onnx.ModelProto:
    """y = x * factors, three scores a row; ``name`` makes another bundle of the same model."""
    node = helper.make_node("Mul", ["x", "factors"], ["y"], name=name)
    rows = ("float32", ["rows", 3])
    return build_model([node], {"x": rows}, {"y": rows}, {"factors": np.float32(factors)})


class Doubted(Endpoint):
    """The stage, its clients, and what CloudWatch counts of both versions."""

    def press(self, factors: list[float], *, name: str = "", shadow: bool = False) -> None:
        golden = [({"x": ROWS}, {"y": ROWS * np.float32(factors)})]
        bundle = write_bundle(self.deployment.work, scores(factors, name), name=NAME, golden=golden)
        if not shadow:
            self.deployment.push(bundle)
            return
        code, told = self.run("push", str(bundle), "--pin", self.deployment.stage, "--shadow", str(SHARE))
        assert code == 0, told

    @property
    def model(self) -> dict[str, Any]:
        config = json.loads((self.deployment.work / "cdk.json").read_text())
        model: dict[str, Any] = config["context"]["coldpress"][self.deployment.stage]["model"]
        return model

    def scores_of(self, inference_id: str, row: int) -> list[float]:
        answer = send_signed(
            self._predict(""),
            method="POST",
            body=json.dumps({"instances": [ROWS[row].tolist()]}).encode(),
            headers={"x-inference-id": inference_id},
        )
        assert answer.status == 200, answer.body
        (scores,) = json.loads(answer.body)["predictions"]
        return list(scores)

    def figures(self, version: int, metric: str, statistic: str = "Sum") -> float:
        return figure("coldpress", metric, statistic, Model=NAME, Version=str(version))

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
            assert self.scores_of(inference_id, row) == ROWS[row].tolist()
        return [row for inference_id, row in ids if is_chosen(inference_id)]


def is_chosen(inference_id: str) -> bool:
    return int.from_bytes(hashlib.sha256(inference_id.encode()).digest()[:8], "big") < SHARE * 2**64


@pytest.fixture
def endpoint(account: Emulator, tmp_path: Path) -> Doubted:
    return Doubted(account, tmp_path, NAME, rollout={"type": "all_at_once"})


@pytest.mark.slow
def test_a_shadow_gets_its_share_and_is_compared(endpoint: Doubted) -> None:
    endpoint.press([1, 1, 1])
    endpoint.press([1, 1, 1], name="again", shadow=True)
    assert endpoint.model["shadow"] == {**endpoint.model["shadow"], "version": 2, "share": SHARE}
    endpoint.deployment.deploy()
    stack, function = endpoint.deployment.stack, endpoint.shadow(2)
    # The check before the traffic asked the new version, too, under ids that Lambda made up.
    checked = figure("AWS/Lambda", "AsyncEventsReceived", "Sum", FunctionName=function)
    chosen = endpoint.ask_all("same")
    assert 30 < len(chosen) < 70
    until(lambda: endpoint.figures(2, "ShadowRequests") >= checked + len(chosen))
    assert endpoint.figures(2, "ShadowRequests") == checked + len(chosen)
    assert endpoint.figures(2, "ShadowErrors") == 0
    assert endpoint.figures(2, "ShadowAgreement", "Minimum") == 1
    assert endpoint.figures(2, "ShadowDifference", "Maximum") == 0
    assert endpoint.figures(1, "Requests") >= REQUESTS
    assert endpoint.figures(2, "Requests") == 0
    _, status = endpoint.run("status", stack)
    assert "0.25 of the requests: agreement 100.00% within a day" in status

    served = endpoint.alias["FunctionVersion"]
    endpoint.press([1, 1, -1], shadow=True)  # its third class never wins
    endpoint.deployment.deploy()
    assert endpoint.alias["FunctionVersion"] == served
    chosen = endpoint.ask_all("other")
    until(lambda: endpoint.figures(3, "ShadowRequests") >= len(chosen))
    assert endpoint.figures(3, "ShadowRequests") == len(chosen)
    share = sum(row != 2 for row in chosen) / len(chosen)
    assert endpoint.figures(3, "ShadowAgreement", "Average") == pytest.approx(share)
    assert endpoint.figures(3, "ShadowDifference", "Maximum") == 2

    assert endpoint.shadow(3) == function
    endpoint.deployment.change(model={"shadow": None})
    endpoint.deployment.deploy()
    with pytest.raises(ClientError, match="not found"):
        boto3.client("lambda").get_function(FunctionName=function)
    assert endpoint.scores_of("alone", 0) == [1, 0, 0]
    assert "shadow" not in endpoint.run("status", stack)[1]
