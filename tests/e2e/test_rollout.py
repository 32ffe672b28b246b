"""New versions that must not serve: stopped before traffic, at a tenth of it, or in their init."""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from coldpress.aws import Answer, send_signed
from examples.deployment import Deployment, Failed
from tests.e2e.cloud import Cloud
from tests.handlers.bundles import write_bundle
from tests.handlers.models import build_model

X, GOOD, BAD = np.float32([1, 2, 3, 4]), np.int64([2, 2]), np.int64([3, 3])
FAST = {"rate": 10_000, "burst": 5_000}  # 5,000 requests come as fast as they are answered
CANARY = {"type": "canary", "percent": 10, "minutes": 30}


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


class Endpoint:
    """One stage, and what its users do."""

    def __init__(self, deployment: Deployment, folder: Path, name: str) -> None:
        self.deployment = deployment
        self._folder = folder
        self._name = name

    def push(self, model: onnx.ModelProto, answer: float) -> None:
        """Press nothing, and say that the original answered so."""
        golden = [({"x": X, "shape": GOOD}, {"y": np.float32(answer)})]
        self.deployment.push(write_bundle(self._folder, model, name=self._name, golden=golden))

    def ask(self, shape: np.ndarray = GOOD, version: str = "") -> Answer:
        body = json.dumps({"inputs": {"x": X.tolist(), "shape": shape.tolist()}}).encode()
        url = f"{self.deployment.output('EndpointUrl')}/v1/models/{self._name}{version}:predict"
        return send_signed(url, method="POST", body=body)

    def answer(self, version: str = "") -> float:
        answer = self.ask(version=version)
        assert answer.status == 200, answer.body
        return float(json.loads(answer.body)["outputs"])

    @property
    def status(self) -> str:
        stacks = boto3.client("cloudformation").describe_stacks(StackName=self.deployment.stack)["Stacks"]
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

    @contextmanager
    def under_load(self, shape: np.ndarray) -> Iterator[Counter[int]]:
        """One request after the other meanwhile; how many got which status."""
        seen: Counter[int] = Counter()
        over = threading.Event()

        def load() -> None:
            while not over.is_set():
                seen[self.ask(shape).status] += 1

        thread = threading.Thread(target=load)
        thread.start()
        try:
            yield seen
        finally:
            over.set()
            thread.join()


@pytest.fixture
def make_endpoint(cloud: Cloud, tmp_path: Path) -> Callable[..., Endpoint]:
    def make(name: str, **settings: object) -> Endpoint:
        work = tmp_path / "work"
        work.mkdir()
        deployment = Deployment(work, name)
        deployment.configure(
            **{"model": {"name": name}, "provisioned_concurrency": None, "throttling": FAST, **settings}
        )
        return Endpoint(deployment, tmp_path, name)

    return make


def test_other_answers_than_the_originals_never_reach_a_client(make_endpoint):
    endpoint = make_endpoint("answers", rollout=CANARY)
    endpoint.push(total(2), answer=20)
    endpoint.deployment.deploy()
    served = endpoint.alias["FunctionVersion"]
    assert endpoint.answer() == 20
    endpoint.push(total(3), answer=20)
    with pytest.raises(Failed, match="BeforeAllowTraffic"):
        endpoint.deployment.deploy()
    assert endpoint.status == "UPDATE_ROLLBACK_COMPLETE"
    assert endpoint.alias["FunctionVersion"] == served
    assert endpoint.answer() == 20
    endpoint.push(total(3), answer=30)
    endpoint.deployment.change(model={"versions": [1], "labels": {"stable": 1, "new": 3}})
    endpoint.deployment.deploy()
    assert endpoint.answer() == endpoint.answer("/versions/3") == endpoint.answer("/labels/new") == 30
    assert endpoint.answer("/versions/1") == endpoint.answer("/labels/stable") == 20
    assert endpoint.ask(version="/versions/2").status == 404


@pytest.mark.slow
def test_a_first_version_with_other_answers_is_no_endpoint(make_endpoint):
    endpoint = make_endpoint("first")
    endpoint.push(total(2), answer=21)
    with pytest.raises(Failed, match="golden sample 0 differs by 1 from the original"):
        endpoint.deployment.deploy()
    endpoint.push(total(2), answer=20)
    endpoint.deployment.deploy()
    assert endpoint.answer() == 20


def test_errors_at_a_tenth_of_the_traffic_bring_the_old_version_back(make_endpoint):
    endpoint = make_endpoint("errors", rollout=CANARY)
    endpoint.push(total(2), answer=20)
    endpoint.deployment.deploy()
    served = endpoint.alias["FunctionVersion"]
    endpoint.push(total(2, checks_shape=True), answer=20)
    with (
        endpoint.under_load(BAD) as seen,
        pytest.raises(Failed, match="alarms have been activated"),
    ):
        endpoint.deployment.deploy()
    assert 0 < seen[500] < seen[200] / 2
    assert endpoint.status == "UPDATE_ROLLBACK_COMPLETE"
    assert endpoint.alias["FunctionVersion"] == served
    assert not endpoint.alias.get("RoutingConfig", {}).get("AdditionalVersionWeights")
    assert endpoint.ask(BAD).status == 200


@pytest.mark.slow
def test_an_init_that_fails_under_provisioned_concurrency_leaves_a_stack_that_can_be_deployed(make_endpoint):
    limits = {"min": 1, "max": 2}
    endpoint = make_endpoint("init", rollout=CANARY, provisioned_concurrency=limits)
    endpoint.push(total(2), answer=20)
    endpoint.deployment.deploy()
    first = endpoint.alias["FunctionVersion"]
    assert endpoint.provisioned == {first: "READY"}
    endpoint.deployment.change(transform="transforms.missing:Transform")
    with pytest.raises(Failed, match="BeforeAllowTraffic"):
        endpoint.deployment.deploy()
    assert endpoint.status == "UPDATE_ROLLBACK_COMPLETE"
    assert endpoint.alias["FunctionVersion"] == first
    assert endpoint.provisioned == {first: "READY"}
    assert endpoint.answer() == 20
    endpoint.deployment.change(transform=None)
    endpoint.push(total(3), answer=30)
    endpoint.deployment.deploy()
    second = endpoint.alias["FunctionVersion"]
    assert endpoint.answer() == 30
    assert (second != first, endpoint.provisioned) == (True, {second: "READY"})
    endpoint.deployment.change(provisioned_concurrency=None)
    endpoint.deployment.deploy()
    assert endpoint.provisioned == {}
    assert endpoint.answer() == 30
