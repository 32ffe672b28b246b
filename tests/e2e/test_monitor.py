"""Is it still right: from requests to the alarm, the page and the command, and a canary that is worse."""

import hashlib
import json
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import onnx
import pytest

from bundle.manifest import Metric, Source
from coldpress.aws import send_signed
from emulator.server import Emulator
from examples.deployment import BIN, Deployment, Failed
from handlers.monitor.store import STATE
from monitoring.baseline import encode
from monitoring.build import build
from tests.e2e.endpoint import FAST, everything_said, figure, until
from tests.handlers.bundles import write_bundle
from tests.handlers.monitor.world import WEIGHTS, answers, draw, model

RIGHT = Metric(
    name="accuracy", before=0.99, after=0.99, drop=0.0, interval=(0.0, 0.0), bound=0.01, samples=2000
)
FIVE = 300.0
SECRET = 4711.0625


class Watched:
    """A stage whose requests are all kept and looked at."""

    def __init__(self, emulator: Emulator, work: Path, name: str, **settings: object) -> None:
        self.emulator, self.work, self.name = emulator, work, name
        self.deployment = Deployment(work, name)
        self.deployment.configure(
            **{
                "model": {"name": name},
                "provisioned_concurrency": None,
                "throttling": FAST,
                "capture": {"rate": 1},
                "monitor": {"every_minutes": 5, "agreement_share": 0.2},
                "rollout": {"type": "all_at_once"},
                **settings,
            }
        )

    def push(self, weights: np.ndarray = WEIGHTS) -> None:
        """A bundle whose baseline is of clean requests; the trained model goes with it."""
        x = draw(np.random.default_rng(0), 2000)
        trained = self.work / "trained.onnx"
        onnx.save(model(weights), trained)
        data = trained.read_bytes()
        bundle = write_bundle(
            self.work,
            model(weights),
            name=self.name,
            golden=[({"x": x[:2]}, {"p": answers(x[:2], weights)})],
            baseline=encode(build({"x": x}, {"p": answers(x, weights)})),
            metric=RIGHT,
            source=Source(
                file="trained.onnx", sha256=hashlib.sha256(data).hexdigest(), size=len(data), opset=17
            ),
        )
        command = ["push", str(bundle), "--pin", self.deployment.stage, "--original", str(trained)]
        subprocess.run([str(BIN / "coldpress"), *command], check=True, cwd=self.work)

    def ask(self, x: np.ndarray, prefix: str) -> None:
        """One request a row; all are captured when this returns."""
        url = f"{self.deployment.output('EndpointUrl')}/v1/models/{self.name}:predict"
        before = self.captured

        def send(number: int) -> None:
            body = json.dumps({"instances": [[float(value) for value in x[number]]]}).encode()
            answer = send_signed(
                url, method="POST", body=body, headers={"x-inference-id": f"{prefix}-{number}"}
            )
            assert answer.status == 200, answer.body

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(send, range(len(x))))
        wanted = before + len(x)
        until(lambda: self.captured >= wanted)

    def pass_time(self) -> None:
        """Until what was captured is delivered, and looked at; and the alarms follow a minute later."""
        self.emulator.advance(2 * FIVE + 120)

    @property
    def captured(self) -> float:
        """How many records Firehose got."""
        stream = self.resource("AWS::KinesisFirehose::DeliveryStream")
        return figure("AWS/Firehose", "IncomingRecords", DeliveryStreamName=stream)

    def resource(self, kind: str, part: str = "") -> str:
        resources = boto3.client("cloudformation").describe_stack_resources(StackName=self.deployment.stack)
        (found,) = [
            one["PhysicalResourceId"]
            for one in resources["StackResources"]
            if one["ResourceType"] == kind and part in one["LogicalResourceId"]
        ]
        return str(found)

    @property
    def alias(self) -> dict[str, Any]:
        function = self.deployment.output("FunctionName")
        return dict(boto3.client("lambda").get_alias(FunctionName=function, Name="live"))

    @property
    def canary(self) -> dict[str, float]:
        """The weight of the version that is being rolled out."""
        return dict((self.alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {})

    @property
    def alarms(self) -> dict[str, str]:
        """The states of those that are called after the stage and the model."""
        prefix = f"{self.deployment.stack}-{self.name}-"
        found = boto3.client("cloudwatch").describe_alarms(AlarmNamePrefix=prefix)["MetricAlarms"]
        return {alarm["AlarmName"].removeprefix(prefix): alarm["StateValue"] for alarm in found}

    def coldpress(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(BIN / "coldpress"), *arguments]
        return subprocess.run(command, check=False, cwd=self.work, capture_output=True, text=True)

    def watch(self) -> dict[str, Any]:
        told = self.coldpress("watch", self.deployment.stack, "--json")
        (status,) = json.loads(told.stdout)
        assert told.returncode == (status["right"] is False)
        return dict(status)


@pytest.fixture
def watched(account: Emulator, tmp_path: Path) -> Callable[..., Watched]:
    return lambda name, **settings: Watched(account, tmp_path, name, **settings)


@pytest.mark.slow
def test_clean_requests_are_right_and_a_unit_change_is_named(watched: Callable[..., Watched]) -> None:
    stage = watched("watched")
    stage.push()
    stage.deployment.deploy()
    rng = np.random.default_rng(1)
    stage.ask(draw(rng, 400), "clean")
    stage.pass_time()
    status = stage.watch()
    assert (status["right"], status["requests"]) == (True, 400)
    assert status["agreement"]["lately"] == 1
    assert stage.alarms["drift"] == "OK"

    wrong = draw(rng, 400)
    wrong[:, 1] = SECRET
    stage.ask(wrong, "turned")
    stage.pass_time()
    status = stage.watch()
    assert (status["right"], status["alarms"]) == (False, ["drift"])
    assert status["changes"][0]["feature"] == "x[1]"
    assert status["examples"][0]["id"].startswith("turned-")
    assert stage.alarms["drift"] == "ALARM"
    assert {state for name, state in stage.alarms.items() if name != "drift"} <= {"OK", "INSUFFICIENT_DATA"}

    # Two runs at once, and more of them than there is to read.
    stage.ask(draw(rng, 200), "more")
    stage.emulator.advance(FIVE - 60)
    function = stage.resource("AWS::Lambda::Function", "MonitorFunction")
    client = boto3.client("lambda")
    with ThreadPoolExecutor(4) as pool:
        answers_of = list(pool.map(lambda _: client.invoke(FunctionName=function), range(4)))
    assert not [answer for answer in answers_of if "FunctionError" in answer]
    stage.pass_time()
    assert stage.watch()["requests"] == 1000
    assert "4711" in json.dumps(stage.watch()["examples"])

    # A run that cannot look fails, and is told of by Lambda alone.
    assert stage.alarms["silent"] == "OK"
    key = f"monitor/model=watched/{status['digest']}/{STATE}"
    boto3.client("s3").put_object(Bucket=stage.deployment.output("CaptureBucket"), Key=key, Body=b"damaged")
    stage.pass_time()
    assert stage.alarms["silent"] == "ALARM"
    said = everything_said(stage.emulator)
    assert "DriftEvidence" in said
    assert str(SECRET) not in said


@pytest.mark.slow
def test_a_canary_that_is_less_often_right_is_rolled_back(
    watched: Callable[..., Watched], tmp_path: Path
) -> None:
    stage = watched(
        "worse",
        rollout={"type": "canary", "percent": 50, "minutes": 60},
        monitor={"every_minutes": 5, "roll_back": True},
    )
    stage.push()
    stage.deployment.deploy()
    served = stage.alias["FunctionVersion"]

    stage.push(-WEIGHTS)
    failures: list[Exception] = []

    def deploy() -> None:
        try:
            stage.deployment.deploy()
        except Failed as failed:
            failures.append(failed)

    thread = threading.Thread(target=deploy)
    with stage.emulator.held_clock():
        thread.start()
        until(lambda: bool(stage.canary))
        x = draw(np.random.default_rng(2), 400)
        stage.ask(x, "asked")
        truth = tmp_path / "truth.jsonl"
        lines = [
            {"inferenceId": f"asked-{n}", "label": int(label)} for n, label in enumerate(answers(x).argmax(1))
        ]
        truth.write_text("".join(json.dumps(line) + "\n" for line in lines))
        assert stage.coldpress("label", stage.deployment.stack, str(truth)).returncode == 0
        stage.pass_time()
    thread.join()
    assert "alarms have been activated" in str(failures[0])
    assert not stage.canary
    assert stage.alias["FunctionVersion"] == served
    stage.pass_time()
    assert stage.watch()["right"] is True
