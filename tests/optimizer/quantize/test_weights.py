import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from optimizer.quantize.weights import channels_last_order, quantize_channels
from tests.optimizer import cpus

WEIGHTS = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=24),
    elements=st.floats(-1e3, 1e3, width=32) | st.sampled_from([0.0, 127.0, -127.0, 64.5, 63.5]),
)


def pairs(quantised):
    """|w1| + |w2| for all neighbours along the last axis."""
    magnitude = np.abs(quantised.astype(int))
    return magnitude[:, 1:] + magnitude[:, :-1]


@settings(max_examples=300, deadline=None)
@given(WEIGHTS)
def test_no_pair_saturates(weight):
    quantised, _ = quantize_channels(weight)
    assert pairs(quantised).max(initial=0) <= 128


@settings(max_examples=200, deadline=None)
@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 3), st.integers(1, 3)),
        elements=st.floats(-10, 10, width=32),
    )
)
def test_no_pair_saturates_in_either_order_of_a_convolution(weight):
    order = channels_last_order(weight.shape[1:])
    quantised, _ = quantize_channels(weight.reshape(len(weight), -1), [order])
    channels_last = quantised.reshape(weight.shape).transpose(0, 2, 3, 1).reshape(len(weight), -1)
    assert pairs(quantised).max(initial=0) <= 128
    assert pairs(channels_last).max(initial=0) <= 128


@settings(max_examples=200, deadline=None)
@given(WEIGHTS, st.booleans())
def test_the_error_is_within_a_step(weight, saturates):
    quantised, scale = quantize_channels(weight, saturates=saturates)
    # Rounding costs half a step; undoing it, in a pair over the limit, at most one.
    step = scale[:, None] * (1.001 if saturates else 0.501)
    assert (np.abs(quantised * scale[:, None] - weight) <= step).all()


def test_it_loses_less_than_seven_bits(rng):
    weight = rng.normal(size=(64, 256)).astype(np.float32)
    quantised, scale = quantize_channels(weight)
    seven_bits = np.abs(weight).max(axis=1, keepdims=True) / 63

    def error(approximation):
        return np.square(approximation - weight).mean()

    assert error(quantised * scale[:, None]) < 0.6 * error(np.rint(weight / seven_bits) * seven_bits)


def test_a_large_pair_is_what_sets_the_scale():
    quantised, scale = quantize_channels(np.array([[1.0, 1.0, 0.0], [1.0, 0.0, 1.0]], np.float32))
    assert quantised.tolist() == [[64, 64, 0], [127, 0, 127]]
    np.testing.assert_allclose(scale, [1 / 64, 1 / 127])


def test_zeros_stay_zeros():
    quantised, scale = quantize_channels(np.zeros((2, 3), np.float32))
    assert not quantised.any()
    assert (scale > 0).all()


RUN = """
import sys
sys.path[:0] = {paths!r}
import numpy as np, onnxruntime as ort
data = dict(np.load({data!r}))
options = ort.SessionOptions()
options.intra_op_num_threads = 1
session = ort.InferenceSession(open({model!r}, "rb").read(), options)
np.savez({out!r}, *session.run(None, data))
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["dynamic", "static", "pointwise"])
def test_answers_are_the_same_without_vnni(make, rng, tmp_path, kind):
    """Full-range weights saturate on this emulated CPU; those of a bundle do not."""
    safe, unsafe = (_quantised(make, kind, saturates) for saturates in (True, False))
    feeds = _feeds(kind)
    natively = [_run(model, feeds, tmp_path, [sys.executable]) for model in (safe, unsafe)]
    haswell = [_run(model, feeds, tmp_path, cpus.haswell().python) for model in (safe, unsafe)]
    np.testing.assert_allclose(haswell[0], natively[0], rtol=1e-4, atol=1e-4)
    assert np.abs(haswell[1] - natively[1]).max() > 1


def _feeds(kind):
    shape = (4, 64) if kind == "dynamic" else (1, 32, 12, 12)
    return {"x": np.linspace(0, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape) ** 0.1}


def _quantised(make, kind, saturates):
    import onnx_ir as ir  # noqa: PLC0415 - only this slow test needs it

    from optimizer.quantize import QuantizeDynamic, QuantizeStatic  # noqa: PLC0415
    from optimizer.quantize.pointwise import QuantizePointwise  # noqa: PLC0415

    rng = np.random.default_rng(0)
    if kind == "dynamic":
        weight = rng.uniform(0.8, 1, (64, 64)).astype(np.float32)
        model = make("g (float[4, 64] x) => (float[4, 64] y) { y = MatMul (x, w) }", w=weight)
        step = QuantizeDynamic(saturates=saturates)
    elif kind == "pointwise":
        weight = rng.uniform(0.8, 1, (16, 32, 1, 1)).astype(np.float32)
        model = make("g (float[1, 32, 12, 12] x) => (float[?, ?, ?, ?] y) { y = Conv (x, w) }", w=weight)
        step = QuantizePointwise(
            {"x": (np.zeros(32, np.float32), np.ones(32, np.float32))}, saturates=saturates
        )
    else:
        weight = rng.uniform(0.8, 1, (16, 32, 3, 3)).astype(np.float32)
        text = "g (float[1, 32, 12, 12] x) => (float[?, ?, ?, ?] y) { h = Conv (x, w) y = Neg (h) }"
        model = make(text, w=weight)
        step = QuantizeStatic({"x": (0.0, 1.0), "h": (0.0, 288.0)}, saturates=saturates)
    return ir.to_proto(step(ir.from_proto(model)).model).SerializeToString()


def _run(model, feeds, folder, python):
    paths = {name: str(folder / name) for name in ("model.onnx", "in.npz", "out.npz")}
    Path(paths["model.onnx"]).write_bytes(model)
    np.savez(paths["in.npz"], **feeds)
    code = RUN.format(
        paths=[sysconfig.get_path("purelib")],
        data=paths["in.npz"],
        model=paths["model.onnx"],
        out=paths["out.npz"],
    )
    subprocess.run([*python, "-c", code], check=True, timeout=280)
    with np.load(paths["out.npz"]) as outputs:  # noqa: TID251 - written a line above
        return outputs["arr_0"]
