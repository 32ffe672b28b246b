"""What training moved is written into the graph; what it left alone stays byte by byte."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch

from optimizer.quantize import QuantizeDynamic, QuantizeStatic
from optimizer.quantize.ranges import observe
from optimizer.quantize.static import observed_names
from optimizer.train.interpreter import Interpreter, as_feeds, largest_difference
from optimizer.train.write import written
from tests.optimizer.conftest import Make

TEXT = """agraph (float[n, c, h, w] x) => (float[a, b, e, d] y) {
    t = Conv <pads = [1, 1, 1, 1]> (x, w, b) r = Relu (t) y = MatMul (r, v) }"""


@pytest.fixture
def model(make: Make, rng: np.random.Generator) -> onnx.ModelProto:
    return make(
        TEXT,
        w=rng.normal(size=(16, 4, 3, 3)).astype(np.float32),
        b=rng.normal(size=16).astype(np.float32),
        v=rng.normal(size=(7, 1024)).astype(np.float32),
    )


@pytest.fixture
def feeds(rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {"x": rng.normal(size=(1, 4, 6, 7)).astype(np.float32)}


def serialised(model: ir.Model) -> bytes:
    return ir.to_proto(model).SerializeToString(deterministic=True)


def static(model: onnx.ModelProto, feeds: dict[str, np.ndarray], *, saturates: bool = False) -> bytes:
    names = observed_names(ir.from_proto(model).graph)
    found = observe(model.SerializeToString(), names, [feeds], 0)
    ranges = {name: several[0] for name, several in found.items()}
    return serialised(QuantizeStatic(ranges, saturates=saturates)(ir.from_proto(model)).model)


def test_untouched_parameters_give_the_same_bytes(
    model: onnx.ModelProto, feeds: dict[str, np.ndarray]
) -> None:
    dynamic = serialised(QuantizeDynamic(saturates=True)(ir.from_proto(model)).model)
    for data in (model.SerializeToString(), static(model, feeds), dynamic):
        interpreter = Interpreter(data, saturates=True)
        interpreter(as_feeds([feeds]))
        assert written(data, interpreter) == data


def test_only_what_moved_is_written(model: onnx.ModelProto) -> None:
    data = model.SerializeToString()
    interpreter = Interpreter(data, saturates=False)
    with torch.no_grad():
        interpreter.known["b"].steps[3] += 2
    after = {
        t.name: onnx.numpy_helper.to_array(t)
        for t in onnx.load_model_from_string(written(data, interpreter)).graph.initializer
    }
    before = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    step = np.abs(before["b"]).max() / 127
    assert (after["w"] == before["w"]).all()
    assert np.nonzero(after["b"] != before["b"])[0].tolist() == [3]
    np.testing.assert_allclose(after["b"][3], before["b"][3] + 2 * step, rtol=1e-5)


def test_moved_weights_scales_and_biases_answer_in_onnxruntime_as_they_were_trained(
    model: onnx.ModelProto, feeds: dict[str, np.ndarray]
) -> None:
    data = static(model, feeds)
    interpreter = Interpreter(data, saturates=False)
    kinds = {one.kind for one in interpreter.known.values()}
    assert kinds == {"whole", "bias", "scale"}
    dice = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for one in interpreter.known.values():
            # Weights may not all grow: 127 is the largest.
            one.steps += torch.randn(one.steps.shape, generator=dice) * 4
    trained = written(data, interpreter)
    assert largest_difference(Interpreter(data, saturates=False), trained, [feeds]) > 0.1
    # A Conv's output is rounded once more, and may fall the other way.
    assert largest_difference(interpreter, trained, [feeds]) < 0.01
    again = Interpreter(trained, saturates=False)
    assert largest_difference(again, trained, [feeds]) < 0.01


def test_no_pair_of_trained_neighbours_saturates_without_vnni(
    model: onnx.ModelProto, feeds: dict[str, np.ndarray]
) -> None:
    data = static(model, feeds, saturates=True)
    interpreter = Interpreter(data, saturates=True)
    whole = [one for one in interpreter.known.values() if one.kind == "whole"]
    assert len(whole) == 2
    dice = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for one in whole:
            one.steps += torch.randn(one.steps.shape, generator=dice) * 300
    trained = {
        t.name: onnx.numpy_helper.to_array(t)
        for t in onnx.load_model_from_string(written(data, interpreter)).graph.initializer
    }
    for one in whole:
        stored = np.abs(trained[one.name].astype(int))
        assert (stored != np.abs(one.array)).mean() > 0.3
        rows = stored.reshape(len(stored), -1) if stored.ndim == 4 else stored.T
        last = np.moveaxis(stored, 1, -1).reshape(len(stored), -1) if stored.ndim == 4 else rows
        for walk in (rows, last):
            assert (walk[:, 1:] + walk[:, :-1]).max() <= 128
