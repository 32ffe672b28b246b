import numpy as np
import onnx_ir as ir
import pytest

from optimizer.quantize import QuantizeStatic
from optimizer.quantize.bias_correction import correct_biases
from optimizer.quantize.pointwise import QuantizePointwise
from optimizer.quantize.static import observed_names

TEXT = """g (float[1, 8, 10, 10] x) => (float[?, ?, ?, ?] y) {
    a = Conv (x, v, b) r = Relu (a) c = Conv (r, w, d) s = Relu (c) y = Conv (s, u, e) }"""


@pytest.fixture
def model(make, rng):
    shapes = {"v": (16, 8, 3, 3), "w": (16, 16, 3, 3), "u": (4, 16, 3, 3), "b": 16, "d": 16, "e": 4}
    return make(TEXT, **{name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()})


@pytest.fixture
def samples(rng):
    return [{"x": (1 + rng.normal(size=(1, 8, 10, 10))).astype(np.float32)} for _ in range(8)]


@pytest.fixture
def quantised(model, samples):
    """Ranges that are too narrow, so that every layer's mean is off."""
    names = observed_names(ir.from_proto(model).graph)
    ranges = {name: (-3.0, 6.0) if name == "x" else (0.0, 25.0) for name in names}
    ranges["y"] = (-800.0, 800.0)
    return ir.to_proto(QuantizeStatic(ranges, saturates=True)(ir.from_proto(model)).model)


def mean_error(model, changed, answers, samples):
    gaps = [answers(changed, feeds)[0] - answers(model, feeds)[0] for feeds in samples]
    return np.abs(np.mean(gaps, axis=(0, 1, 3, 4))).max()


def corrected(model, quantised, layers, samples):
    data = correct_biases(model.SerializeToString(), quantised.SerializeToString(), layers, samples)
    return ir.to_proto(ir.from_proto(type(model).FromString(data)))


def test_the_mean_is_right_after_the_last_layer(model, quantised, samples, answers):
    changed = corrected(model, quantised, ["a", "c", "y"], samples)
    before = mean_error(model, quantised, answers, samples)
    assert mean_error(model, changed, answers, samples) < 0.05 * before


def test_only_the_named_layers(model, quantised, samples):
    assert corrected(model, quantised, [], samples) == quantised


def test_a_bias_of_floats_is_corrected_too(model, samples, answers):
    shifted = type(model).FromString(model.SerializeToString())
    bias = next(array for array in shifted.graph.initializer if array.name == "d")
    bias.raw_data = (np.frombuffer(bias.raw_data, np.float32) + np.float32(3)).tobytes()
    changed = corrected(model, shifted, ["c"], samples)
    assert mean_error(model, changed, answers, samples) < 1e-3
    assert mean_error(model, shifted, answers, samples) > 1


def test_products_of_pointwise_convolutions_are_corrected(make, rng, answers):
    text = """g (float[1, 8, 10, 10] x) => (float[?, ?, ?, ?] y) {
        a = Conv (x, v) s = HardSwish (a) d = Conv <group = 16> (s, t) y = Conv (d, w) }"""
    shapes = {"v": (16, 8, 1, 1), "t": (16, 1, 3, 3), "w": (32, 16, 1, 1)}
    arrays = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    model = make(text, **arrays)
    samples = [{"x": (1 + rng.normal(size=(1, 8, 10, 10))).astype(np.float32)} for _ in range(8)]
    narrow = {
        "x": (np.full(8, -1, np.float32), np.full(8, 2, np.float32)),
        "d": (np.full(16, -5, np.float32), np.full(16, 5, np.float32)),
    }
    quantised = ir.to_proto(QuantizePointwise(narrow, saturates=True)(ir.from_proto(model)).model)
    changed = corrected(model, quantised, ["a", "y"], samples)
    before = mean_error(model, quantised, answers, samples)
    assert mean_error(model, changed, answers, samples) < 0.05 * before
