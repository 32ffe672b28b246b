"""One stage in the emulated account: what its users ask, and what its operators type."""

import json
import os
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import onnx
from onnx import TensorProto, helper

from coldpress.aws import Answer, send_signed
from emulator.server import Emulator
from examples.deployment import BIN, Deployment, Failed
from tests.handlers.bundles import write_bundle
from tests.handlers.models import build_model

X, GOOD, BAD = np.float32([1, 2, 3, 4]), np.int64([2, 2]), np.int64([3, 3])
FAST = {"rate": 10_000, "burst": 5_000}  # 5,000 requests come as fast as they are answered


def total(factor: float, *, checks_shape: bool = False) -> onnx.ModelProto:
    """y = factor * sum(x) of four numbers; with ``checks_shape`` a shape of another size makes it fail."""
    source = "folded" if checks_shape else "x"
    nodes = [
        *([helper.make_node("Reshape", ["x", "shape"], ["folded"])] if checks_shape else []),
        helper.make_node("ReduceSum", [source], ["sum"], keepdims=0),
        helper.make_node("Mul", ["sum", "factor"], ["scaled"]),
        # Both kinds take the shape, so that requests fit both.
        helper.make_node("Cast", ["shape"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["numbers", "zero"], ["zeros"]),
        helper.make_node("ReduceSum", ["zeros"], ["nothing"], keepdims=0),
        helper.make_node("Add", ["scaled", "nothing"], ["y"]),
    ]
    return build_model(
        nodes,
        {"x": ("float32", [4]), "shape": ("int64", [2])},
        {"y": ("float32", [])},
        {"factor": np.float32(factor), "zero": np.float32(0)},
    )


class Load:
    """Requests of some clients, each sending one after the other."""

    def __init__(self) -> None:
        self.statuses: Counter[int] = Counter()
        self.bodies: Counter[bytes] = Counter()
        self._changed = threading.Condition()

    def add(self, answer: Answer) -> None:
        with self._changed:
            self.statuses[answer.status] += 1
            self.bodies[answer.body] += 1
            self._changed.notify_all()

    def wait_for(self, count: int) -> None:
        """Until so many are answered."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.statuses.total() >= count, timeout=300)


class Endpoint:
    """One stage with one model, named as the stage."""

    def __init__(self, emulator: Emulator, work: Path, name: str, **settings: object) -> None:
        self.emulator = emulator
        self.deployment = Deployment(work, name)
        self.stack = self.deployment.stack
        self._name = name
        self.deployment.configure(
            **{"model": {"name": name}, "provisioned_concurrency": None, "throttling": FAST, **settings}
        )

    def push(self, model: onnx.ModelProto, answer: float, label: str = "") -> str:
        """Press nothing, and say that the original answered so; ``label`` makes another bundle of it."""
        golden = [({"x": X, "shape": GOOD}, {"y": np.float32(answer)})]
        folder = self.deployment.work / "bundles"
        folder.mkdir(exist_ok=True)
        bundle = write_bundle(folder, model, name=self._name, golden=golden, labels=[label] if label else [])
        self.deployment.push(bundle)
        return bundle.name

    def ask(self, shape: np.ndarray = GOOD, version: str = "") -> Answer:
        body = json.dumps({"inputs": {"x": X.tolist(), "shape": shape.tolist()}}).encode()
        return send_signed(self._predict(version), method="POST", body=body)

    def answer(self, version: str = "") -> float:
        answer = self.ask(version=version)
        assert answer.status == 200, answer.body
        return float(json.loads(answer.body)["outputs"])

    @property
    def status(self) -> str:
        """Of the stack."""
        stacks = boto3.client("cloudformation").describe_stacks(StackName=self.stack)["Stacks"]
        return str(stacks[0]["StackStatus"])

    @property
    def alias(self) -> dict[str, Any]:
        return dict(boto3.client("lambda").get_alias(FunctionName=self.function, Name="live"))

    @property
    def function(self) -> str:
        return self.deployment.output("FunctionName")

    @property
    def provisioned(self) -> dict[str, str]:
        """The status of each version's or alias's provisioned concurrency."""
        client: Any = boto3.client("lambda")
        configs = client.list_provisioned_concurrency_configs(FunctionName=self.function)
        return {
            config["FunctionArn"].rpartition(":")[2]: config["Status"]
            for config in configs["ProvisionedConcurrencyConfigs"]
        }

    def run(self, *arguments: str) -> tuple[int, str]:
        """A command of `coldpress` in the folder of cdk.json: its exit status, and what it said."""
        done = subprocess.run(
            [str(BIN / "coldpress"), *arguments],
            check=False,
            capture_output=True,
            text=True,
            cwd=self.deployment.work,
            env=dict(os.environ),
        )
        return done.returncode, done.stdout + done.stderr

    @property
    def report(self) -> dict[str, Any]:
        """What `coldpress status` says."""
        code, told = self.run("status", self.stack, "--json")
        assert code == 0, told
        (status,) = json.loads(told)
        return status

    @contextmanager
    def under_load(self, shape: np.ndarray = GOOD, clients: int = 1) -> Iterator[Load]:
        """Requests without a pause meanwhile."""
        load, over, url = Load(), threading.Event(), self._predict("")
        body = json.dumps({"inputs": {"x": X.tolist(), "shape": shape.tolist()}}).encode()

        def send() -> None:
            while not over.is_set():
                load.add(send_signed(url, method="POST", body=body))

        threads = [threading.Thread(target=send) for _ in range(clients)]
        for thread in threads:
            thread.start()
        try:
            yield load
        finally:
            over.set()
            for thread in threads:
                thread.join()

    @contextmanager
    def deploying(self) -> Iterator[list[Exception]]:
        """A deployment meanwhile, which waits for nobody's clock in the end; what it failed with."""
        failures: list[Exception] = []

        def deploy() -> None:
            try:
                self.deployment.deploy()
            except Failed as failed:
                failures.append(failed)

        thread = threading.Thread(target=deploy)
        try:
            with self.emulator.held_clock():
                thread.start()
                yield failures
        finally:
            thread.join()

    def _predict(self, version: str) -> str:
        return f"{self.deployment.output('EndpointUrl')}/v1/models/{self._name}{version}:predict"


def figure(namespace: str, metric: str, statistic: str = "Sum", **dimensions: str) -> float:
    """What CloudWatch has of a metric, within a day."""
    named = [{"Name": name, "Value": value} for name, value in dimensions.items()]
    of = {"Namespace": namespace, "MetricName": metric, "Dimensions": named}
    query = {"Id": "asked", "MetricStat": {"Metric": of, "Period": 172_800, "Stat": statistic}}
    found = boto3.client("cloudwatch").get_metric_data(
        MetricDataQueries=[query], StartTime=time.time() - 86_400, EndTime=time.time() + 60
    )["MetricDataResults"][0]["Values"]
    return float(sum(found))


def everything_said(emulator: Emulator) -> str:
    """All logs, metrics and dashboards of the account: what was planted in requests must be in none."""
    cloudwatch = boto3.client("cloudwatch")
    names = [entry["DashboardName"] for entry in cloudwatch.list_dashboards()["DashboardEntries"]]
    said = [cloudwatch.get_dashboard(DashboardName=name)["DashboardBody"] for name in names]
    said += [str(page) for page in cloudwatch.get_paginator("list_metrics").paginate()]
    files = [*emulator.state_dir.glob("logs/**/*.log"), *emulator.state_dir.glob("*.log")]
    assert files
    return "\n".join([*said, *(f"{file}\n{file.read_text(errors='replace')}" for file in files)])


def until(condition: Callable[[], bool]) -> None:
    """Wait for what happens in real time, such as an environment's start."""
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)
