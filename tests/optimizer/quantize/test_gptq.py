import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.quantize.gptq import Gptq, gptq
from optimizer.quantize.layers import layers_of, read_rows
from optimizer.quantize.weights import channels_last_order, quantize_channels


def correlated(rng, count, width):
    """Inputs as layers see them: a few directions hold most of the variance."""
    return rng.normal(size=(count, 4)) @ rng.normal(size=(4, width)) + 0.05 * rng.normal(size=(count, width))


@pytest.mark.parametrize("saturates", [True, False])
def test_outputs_are_closer_than_by_rounding(rng, saturates):
    rows, weight = correlated(rng, 500, 64), rng.normal(size=(16, 64))
    known = Gptq(rows.T @ rows / 500, rows.mean(axis=0))

    def error(quantised, scale):
        return np.square(rows @ (quantised * scale[:, None] - weight).T).sum()

    plain = error(*quantize_channels(weight, saturates=saturates))
    assert error(*known(weight, saturates=saturates)) < 0.2 * plain


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.sampled_from([1, 3]))
def test_no_pair_saturates(seed, channels, side):
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(4, channels, side, side)) ** 3
    rows = correlated(rng, 50, channels * side * side)
    known = Gptq(rows.T @ rows / 50, rows.mean(axis=0))
    quantised, _ = known(weight.reshape(4, -1), [channels_last_order(weight.shape[1:])])
    for order in (quantised, quantised.reshape(weight.shape).transpose(0, 2, 3, 1).reshape(4, -1)):
        magnitude = np.abs(order.astype(int))
        assert (magnitude[:, 1:] + magnitude[:, :-1]).max(initial=0) <= 128


def test_inputs_that_are_all_alike_do_no_harm():
    weight = np.linspace(-1, 1, 12).reshape(2, 6)
    quantised, scale = Gptq(np.zeros((6, 6)), np.zeros(6)).centred()(weight)
    np.testing.assert_array_equal(quantised, quantize_channels(weight)[0])
    assert (scale > 0).all()


CONV = """g (float[1, 3, 9, 11] x) => (float[?, ?, ?, ?] y) {{ y = Conv <{attributes}> (x, w) }}"""


@pytest.mark.parametrize(
    "attributes",
    [
        "pads = [0, 0, 0, 0]",
        "pads = [1, 0, 2, 1], strides = [2, 1]",
        'auto_pad = "SAME_UPPER", strides = [2, 3]',
        'auto_pad = "SAME_LOWER", strides = [2, 2]',
        'auto_pad = "VALID", dilations = [2, 2]',
    ],
)
def test_rows_are_what_a_convolution_multiplies(make, rng, answers, attributes):
    x = rng.normal(size=(1, 3, 9, 11)).astype(np.float32)
    model = make(CONV.format(attributes=attributes), w=rng.normal(size=(5, 3, 3, 2)).astype(np.float32))
    (layer,) = layers_of(ir.from_proto(model).graph)
    rows = read_rows(layer, x, 10_000, rng)
    expected = answers(model, {"x": x})[0]
    np.testing.assert_allclose(
        (rows @ layer.rows.T).T.reshape(expected.shape), expected, rtol=1e-4, atol=1e-4
    )


def test_statistics_are_of_each_layer_by_name(make, rng):
    text = """g (float[n, 8] x) => (float[n, 4] y) {
        h = MatMul (x, v) r = Relu (h) y = Gemm <transB = 1> (r, w) }"""
    shapes = {"v": (8, 6), "w": (4, 6)}
    weights = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    samples = [{"x": rng.normal(size=(5, 8)).astype(np.float32)} for _ in range(4)]
    known = gptq(make(text, **weights).SerializeToString(), None, samples, seed=0)
    inputs = np.concatenate([sample["x"] for sample in samples])
    hidden = np.maximum(inputs @ weights["v"], 0)
    np.testing.assert_allclose(known["h"].second, inputs.T @ inputs / 20, rtol=1e-4)
    np.testing.assert_allclose(known["y"].mean, hidden.mean(axis=0), rtol=1e-4)


def test_grouped_convolutions_have_none(make, rng):
    text = "g (float[1, 4, 6, 6] x) => (float[?, ?, ?, ?] y) { y = Conv <group = 4> (x, w) }"
    model = make(text, w=rng.normal(size=(4, 1, 3, 3)).astype(np.float32))
    samples = [{"x": rng.normal(size=(1, 4, 6, 6)).astype(np.float32)}]
    assert gptq(model.SerializeToString(), None, samples, seed=0) == {}


def test_layers_with_very_long_sums_have_none(make, rng):
    text = "g (float[n, 4097] x) => (float[n, 2] y) { y = MatMul (x, w) }"
    model = make(text, w=rng.normal(size=(4097, 2)).astype(np.float32))
    samples = [{"x": rng.normal(size=(1, 4097)).astype(np.float32)}]
    assert gptq(model.SerializeToString(), None, samples, seed=0) == {}
