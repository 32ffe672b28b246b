import numpy as np
import onnx_ir as ir
import pytest

from optimizer.quantize.gptq import gptq
from optimizer.quantize.pointwise import QuantizePointwise, quantisable
from optimizer.quantize.ranges import observe_channels

# Channels of the depthwise convolution's output differ a thousandfold.
BLOCK = """g (float[1, 16, 8, 10] x) => (float[?, ?, ?, ?] y) {
    d = Conv <group = 16, pads = [1, 1, 1, 1]> (x, depth)
    c = Conv (d, w, b) s = HardSwish (c) a = Add (s, tenth)
    y = Conv <group = 32, pads = [1, 1, 1, 1]> (a, depth2) }"""


@pytest.fixture
def model(make, rng):
    sizes = np.logspace(-2, 1, 16)
    return make(
        BLOCK,
        depth=(rng.normal(size=(16, 1, 3, 3)) * sizes[:, None, None, None]).astype(np.float32),
        w=(rng.normal(size=(32, 16, 1, 1)) / sizes[:, None, None]).astype(np.float32),
        b=rng.normal(size=32).astype(np.float32),
        tenth=np.array([0.1], np.float32),
        depth2=rng.normal(size=(32, 1, 3, 3)).astype(np.float32),
    )


@pytest.fixture
def samples(rng):
    return [{"x": rng.normal(size=(1, 16, 8, 10)).astype(np.float32)} for _ in range(8)]


def ranges_of(model, samples):
    names = [layer.node.inputs[0].name for layer in quantisable(ir.from_proto(model).graph)]
    return observe_channels(model.SerializeToString(), names, samples, seed=0)


def error(model, changed, answers, samples):
    pairs = [(answers(model, feeds)[0], answers(changed, feeds)[0]) for feeds in samples]
    return max(np.linalg.norm(after - before) / np.linalg.norm(before) for before, after in pairs)


@pytest.mark.parametrize("saturates", [True, False])
def test_channels_of_all_sizes_are_kept(model, samples, apply, answers, saturates):
    applied = apply(QuantizePointwise(ranges_of(model, samples), saturates=saturates), model)
    assert applied.operators == [
        *["Conv", "QuantizeLinear", "Transpose", "MatMulIntegerToFloat"],
        *["HardSwish", "Add", "Transpose", "Conv"],
    ]
    assert error(model, applied.model, answers, samples) < 0.02


def test_gptq_lessens_the_error(make, apply, answers, rng):
    text = "g (float[1, 64, n] x) => (float[?, ?, ?] y) { y = Conv (x, w) }"
    model = make(text, w=rng.normal(size=(32, 64, 1)).astype(np.float32))
    directions = rng.normal(size=(64, 6))
    samples = [{"x": (directions @ rng.normal(size=(6, 50))).astype(np.float32)[None]} for _ in range(4)]
    ranges = ranges_of(model, samples)
    plain = apply(QuantizePointwise(ranges, saturates=True), model).model
    rounding = gptq(model.SerializeToString(), None, samples, seed=0)
    better = apply(QuantizePointwise(ranges, saturates=True, rounding=rounding), model).model
    assert error(model, better, answers, samples) < 0.8 * error(model, plain, answers, samples)


def test_the_mean_error_goes_into_the_bias(make, apply, answers, rng):
    """Inputs far from zero make a weight's rounding error an error of the mean."""
    text = "g (float[1, 64, n] x) => (float[?, ?, ?] y) { y = Conv (x, w) }"
    model = make(text, w=rng.normal(size=(8, 64, 1)).astype(np.float32))
    samples = [{"x": (5 + 0.1 * rng.normal(size=(1, 64, 40))).astype(np.float32)} for _ in range(4)]
    rounding = gptq(model.SerializeToString(), None, samples, seed=0)
    step = QuantizePointwise(ranges_of(model, samples), saturates=True, rounding=rounding)
    changed = apply(step, model).model
    gap = [answers(changed, feeds)[0] - answers(model, feeds)[0] for feeds in samples]
    assert np.abs(np.mean(gap, axis=(0, 1, 3))).max() < 0.02


def test_names_stay(model, samples, apply):
    changed = apply(QuantizePointwise(ranges_of(model, samples), saturates=True), model).model
    named = {name for node in changed.graph.node for name in node.output}
    assert {"d", "c", "a", "y"} <= named


def test_a_chain_of_products_quantises_by_tensor(make, rng, samples, apply, answers):
    """ONNX Runtime would quantise along the last axis, which is slow."""
    text = """g (float[1, 16, 8, 10] x) => (float[?, ?, ?, ?] y) {
        a = Conv (x, v) r = Relu (a) y = Conv (r, w) }"""
    shapes = {"v": (32, 16, 1, 1), "w": (16, 32, 1, 1)}
    model = make(text, **{name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()})
    changed = apply(QuantizePointwise(ranges_of(model, samples), saturates=True), model).model
    first, second = (node for node in changed.graph.node if node.op_type == "QuantizeLinear")
    assert len(first.attribute) == 1
    assert len(second.attribute) == 0
    assert error(model, changed, answers, samples) < 0.02


def test_an_input_is_quantised_once_and_an_output_may_be_read_by_many(make, rng, samples, apply, answers):
    text = """g (float[1, 16, 8, 10] x) => (float[?, ?, ?, ?] y, float[?, ?, ?, ?] a) {
        a = Conv (x, v) b = Conv (x, w) y = Mul (a, b) }"""
    model = make(text, **{name: rng.normal(size=(16, 16, 1, 1)).astype(np.float32) for name in "vw"})
    applied = apply(QuantizePointwise(ranges_of(model, samples), saturates=True), model)
    assert applied.operators.count("QuantizeLinear") == 1
    assert error(model, applied.model, answers, samples) < 0.02


@pytest.mark.parametrize("attributes", ["pads = [1, 1, 1, 1]", "strides = [2, 2]", "group = 2"])
def test_what_is_no_product_stays(make, rng, apply, attributes):
    text = f"g (float[1, 32, 8, 8] x) => (float[?, ?, ?, ?] y) {{ y = Conv <{attributes}> (x, w) }}"
    shape = (32, 16 if "group" in attributes else 32, 1, 1)
    model = make(text, w=rng.normal(size=shape).astype(np.float32))
    ranges = {"x": (np.full(32, -1, np.float32), np.ones(32, np.float32))}
    assert not apply(QuantizePointwise(ranges, saturates=True), model).modified


def test_only_the_named_layers(model, samples, apply):
    step = QuantizePointwise(ranges_of(model, samples), saturates=True, layers=["other"])
    assert not apply(step, model).modified
