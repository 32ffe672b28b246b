"""Requests that are there at the same time run as one, with the answers that each has alone."""

import asyncio
import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from bundle.arrays import golden_arrays
from bundle.manifest import Signature, TensorSpec
from coldpress.server.batch_size import best_rows
from coldpress.server.batching import BatchedModel
from handlers.inference.dataplane import Model
from handlers.inference.messages import Request, Response
from handlers.inference.service import Service
from handlers.inference.session import open_session
from handlers.inference.tensor import Tensor
from handlers.inference.transform import Transformed
from tests.handlers.bundles import write_bundle
from tests.handlers.models import loop


def answers_together(
    service: Service,
    requests: Sequence[Request],
    limit: int = 16,
    delay: float = 0,
    timeout: float = math.inf,
) -> tuple[list[Response], list[int]]:
    """What all are answered that arrive in one turn of the event loop, and the rows of each run."""
    answers: dict[int, Response] = {}
    runs: list[int] = []

    async def main() -> None:
        arriving = len(requests)
        done = asyncio.Event()
        model = BatchedModel(
            service.model,
            limit=lambda: limit,
            delay=delay,
            others_arrive=lambda: arriving > 0,
            ran=runs.append,
            timeout=timeout,
        )
        batched = Service(model, transform=service.transform)

        def answer(index: int) -> None:
            answers[index] = batched.answer(requests[index])
            if len(answers) == len(requests):
                done.set()

        for index in range(len(requests)):
            arriving -= 1
            model.start(lambda index=index: answer(index))  # type: ignore[misc]
            if delay:
                await asyncio.sleep(0)
        await asyncio.wait_for(done.wait(), 60)

    asyncio.run(main())
    return [answers[index] for index in range(len(requests))], runs


def numbers(response: Response) -> list[list[float]]:
    rows: list[list[float]] = json.loads(response.body)["predictions"]
    return rows


def predict(rows: object) -> Request:
    return Request("POST", "/v1/models/classifier:predict", "", {}, json.dumps({"instances": rows}).encode())


@pytest.fixture(scope="module")
def classifier(pressed: Path) -> Service:
    return Service.from_folder(pressed)


GOOD = st.builds(
    lambda seed, rows: np.random.default_rng(seed).normal(size=(rows, 64)).round(3).tolist(),
    st.integers(0, 99),
    st.integers(1, 5),
)
BAD = st.sampled_from([[], [[1.0]], [["a"] * 64], [[0.0] * 65], [[0.0] * 64, [0.0]]])


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.one_of(GOOD, BAD), min_size=1, max_size=8), st.integers(2, 12), st.sampled_from([0, 0.001])
)
def test_each_is_answered_as_if_it_were_alone(
    classifier: Service, bodies: list[list[list[float]]], limit: int, delay: float
) -> None:
    requests = [predict(rows) for rows in bodies]
    together, runs = answers_together(classifier, requests, limit, delay)
    for request, response in zip(requests, together, strict=True):
        alone = classifier.answer(request)
        assert response.status == alone.status
        if alone.status == 200:
            np.testing.assert_allclose(numbers(response), numbers(alone), rtol=1e-4, atol=1e-5)
        else:
            assert response.body == alone.body
    assert max(runs, default=0) <= max(limit, 5)


def test_rows_run_as_one_up_to_the_limit(classifier: Service) -> None:
    requests = [predict([[0.1 * index] * 64]) for index in range(7)]
    assert answers_together(classifier, requests, 16)[1] == [7]
    assert answers_together(classifier, requests, 3)[1] == [3, 3, 1]
    assert answers_together(classifier, requests, 1)[1] == [1] * 7
    assert answers_together(classifier, requests, 16, delay=5)[1] == [7]  # the last one finds nobody arriving


def test_a_run_that_is_late_is_504_and_the_next_one_is_answered(tmp_path: Path) -> None:
    service = Service.from_folder(write_bundle(tmp_path, loop(), name="toy"))
    bodies = [b'{"inputs": [1000000000]}', b'{"inputs": [1]}']
    requests = [Request("POST", "/v1/models/toy:predict", "", {}, body) for body in bodies]
    late, in_time = answers_together(service, requests, limit=1, timeout=0.3)[0]
    assert (late.status, in_time.status) == (504, 200)
    assert json.loads(late.body)["error"].startswith("the answer was not ready")


def test_requests_that_run_as_one_are_late_together(tmp_path: Path) -> None:
    """And what asks after them is answered."""
    service = Service.from_folder(write_bundle(tmp_path, loop(), name="toy"))
    steps = [10**9, 1, 1]
    bodies = [json.dumps({"inputs": [step]}).encode() for step in steps]
    requests = [Request("POST", "/v1/models/toy:predict", "", {}, body) for body in bodies]
    together = answers_together(service, requests, timeout=0.3)[0]
    assert [response.status for response in together] == [504, 504, 504]
    assert [response.status for response in answers_together(service, requests[1:], timeout=5)[0]] == [
        200
    ] * 2


class Largest:
    """A number to a row of it, and the scores to the largest; "exit" ends the process, if it may."""

    def decode(self, request: Request) -> dict[str, np.ndarray]:
        if request.body == b"exit":
            sys.exit(1)
        return {"x": np.full((1, 64), float(request.body), np.float32)}

    def encode(self, outputs: Mapping[str, Tensor]) -> Response:
        scores = outputs["scores"]
        largest = np.frombuffer(scores.data, scores.dtype).max()
        return Response(200, {}, str(round(float(largest), 3)).encode())


def test_requests_of_a_transform_run_as_one(classifier: Service) -> None:
    service = Service(classifier.model, transform=Transformed("tests:Largest", Largest()))
    bodies = [b"0.5", b"exit", b"-1", b"no number", b"2"]
    requests = [Request("POST", "/v1/models/classifier:transform", "", {}, body) for body in bodies]
    together, runs = answers_together(service, requests)
    assert runs == [3]
    assert [response.status for response in together] == [200, 500, 200, 500, 200]
    for request, response in zip(requests, together, strict=True):
        alone = service.answer(request).body
        assert response.body == alone or abs(float(response.body) - float(alone)) < 0.002


def test_other_outputs_and_other_shapes_do_not_mix(tmp_path: Path) -> None:
    service = Service(model_of(tmp_path, scaled()))
    entry = {"name": "x", "datatype": "FP32"}

    def infer(rows: int, width: int, outputs: list[str]) -> Request:
        inputs = [{**entry, "shape": [rows, width], "data": [1.0] * (rows * width)}]
        content = {"inputs": inputs, "outputs": [{"name": name} for name in outputs]}
        return Request("POST", "/v2/models/m/infer", "", {}, json.dumps(content).encode())

    requests = [
        infer(1, 2, ["y"]),
        infer(2, 3, ["y"]),
        infer(1, 2, ["z"]),
        infer(2, 2, ["y"]),
        infer(1, 3, ["y"]),
    ]
    together, runs = answers_together(service, requests)
    assert [json.loads(answer.body) for answer in together] == [
        json.loads(service.answer(request).body) for request in requests
    ]
    assert sorted(runs) == [1, 3, 3]


def model_of(folder: Path, proto: onnx.ModelProto) -> Model:
    """The model alone, without a bundle around it."""
    onnx.save(proto, folder / "model.onnx")
    signature = Signature(inputs=specs(proto.graph.input), outputs=specs(proto.graph.output))
    manifest = SimpleNamespace(signature=signature, class_labels=[], tools={})
    session = open_session(str(folder / "model.onnx"), 1, None)
    return Model(manifest, session, name="m", version="1")  # type: ignore[arg-type]


def specs(values: Sequence[onnx.ValueInfoProto]) -> list[TensorSpec]:
    return [
        TensorSpec(
            name=value.name,
            dtype="float32",
            shape=[axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim],
        )
        for value in values
    ]


def graph(
    nodes: list[onnx.NodeProto], shape: list[int | str], outputs: Sequence[str] = ("y",), width: int = 0
) -> onnx.ModelProto:
    out = [shape[0], width] if width else shape
    weights = np.random.default_rng(0).normal(size=(512, 512)).astype(np.float32)
    return helper.make_model(
        helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, out) for name in outputs],
            [numpy_helper.from_array(np.float32([2]), "two"), numpy_helper.from_array(weights, "w")],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )


def scaled() -> onnx.ModelProto:
    """y = 2 x and z = x + 2 on [n, width]."""
    nodes = [helper.make_node("Mul", ["x", "two"], ["y"]), helper.make_node("Add", ["x", "two"], ["z"])]
    return graph(nodes, ["n", "width"], ("y", "z"))


def dense(batch: int | str = "n") -> onnx.ModelProto:
    """Reads a megabyte of weights for each run, so that rows together are much cheaper."""
    return graph([helper.make_node("MatMul", ["x", "w"], ["y"])], [batch, 512])


def across() -> onnx.ModelProto:
    """A softmax over the rows, so that each row's answer depends on the others."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["d"]), helper.make_node("Softmax", ["d"], ["y"], axis=0)]
    return graph(nodes, ["n", 512])


def golden(folder: Path) -> Path:
    x = np.random.default_rng(1).normal(size=(1, 512)).astype(np.float32)
    np.savez(folder / "golden.npz", **golden_arrays([({"x": x}, {"y": x})]))  # type: ignore[arg-type]
    return folder / "golden.npz"


def test_batches_pay_where_weights_are_read_once_for_all(tmp_path: Path) -> None:
    model = model_of(tmp_path, dense())
    assert 1 < best_rows(model, golden(tmp_path), 8) <= 8
    assert best_rows(model, golden(tmp_path), 1) == 1


@pytest.mark.parametrize("proto", [dense(1), across()], ids=["a fixed first axis", "a softmax over the rows"])
def test_models_that_take_no_strangers_beside_them_get_none(tmp_path: Path, proto: onnx.ModelProto) -> None:
    assert best_rows(model_of(tmp_path, proto), golden(tmp_path), 8) == 1


def test_without_a_golden_sample_there_are_no_batches(tmp_path: Path) -> None:
    model = model_of(tmp_path, dense())
    assert best_rows(model, tmp_path / "golden.npz", 8) == 1
    np.savez(tmp_path / "golden.npz")
    assert best_rows(model, tmp_path / "golden.npz", 8) == 1
