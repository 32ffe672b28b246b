import time

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from optimizer.quantize import QuantizeDynamic, QuantizeEmbeddings, QuantizeStatic
from optimizer.quantize.ranges import observe
from optimizer.quantize.static import observed_names
from optimizer.runtime import optimised_session
from optimizer.search.sensitivity import Sensitivity

CONVOLUTIONS = """g (float[1, 8, 10, 10] x) => (float[1, 8, 10, 10] y) {
    a = Conv <pads = [1, 1, 1, 1]> (x, v, b) r = Relu (a) c = Conv (r, w) s = Sigmoid (c) y = Conv (s, u) }"""
MATRICES = """g (int64[n] i) => (float[n, 64] y) {
    e = Gather (t, i) h = MatMul (e, w) r = Relu (h) y = MatMul (r, v) }"""


def after(model, step):
    return ir.to_proto(step(ir.from_proto(model)).model).SerializeToString()


def really(model, changed, feeds):
    """The error of a model in which one layer is treated."""
    before, now = (optimised_session(one).run(None, feeds)[0] for one in (model.SerializeToString(), changed))
    return float(np.square(now - before).sum() / np.square(before).sum())


def test_it_is_what_treating_that_layer_alone_does(make, rng):
    shapes = {"v": (16, 8, 3, 3), "b": (16,), "w": (16, 16, 1, 1), "u": (8, 16, 1, 1)}
    model = make(CONVOLUTIONS, **{k: rng.normal(size=s).astype(np.float32) for k, s in shapes.items()})
    samples = [{"x": rng.normal(size=(1, 8, 10, 10)).astype(np.float32)} for _ in range(3)]
    data = model.SerializeToString()
    # Coarse ranges, so that the errors are no noise.
    ranges = {
        name: (3 * low, 3 * high)
        for name, [(low, high), *_] in observe(
            data, observed_names(ir.from_proto(model).graph), samples, 0
        ).items()
    }
    layers = {name: ["static"] for name in ("a", "c", "y")}
    treated = {"static": after(model, QuantizeStatic(ranges, saturates=False))}
    errors = Sensitivity(data, treated, layers, ["y"]).errors(samples, time.monotonic() + 60)
    assert list(errors) == ["a", "c", "y"]
    for name in ("a", "c"):  # a graph's output is not rounded, so the last layer has a form of its own
        alone = after(model, QuantizeStatic(ranges, saturates=False, layers={name}))
        expected = np.mean([really(model, alone, feeds) for feeds in samples])
        assert errors[name]["static"] == pytest.approx(expected, rel=0.15)


def test_embeddings_and_matrices(make, rng):
    shapes = {"t": (1100, 64), "w": (64, 64), "v": (64, 64)}
    model = make(MATRICES, **{k: rng.normal(size=s).astype(np.float32) for k, s in shapes.items()})
    feeds = {"i": rng.integers(0, 1100, 20)}
    treated = {
        "embedding": after(model, QuantizeEmbeddings()),
        "dynamic": after(model, QuantizeDynamic(saturates=False)),
    }
    layers = {"e": ["embedding"], "h": ["dynamic"], "y": ["dynamic"]}
    errors = Sensitivity(model.SerializeToString(), treated, layers, ["y"]).errors([feeds], 0.0)
    for name, step in (
        ("e", QuantizeEmbeddings()),
        ("h", QuantizeDynamic(saturates=False, layers={"h"})),
        ("y", QuantizeDynamic(saturates=False, layers={"y"})),
    ):
        expected = really(model, after(model, step), feeds)
        assert errors[name][layers[name][0]] == pytest.approx(expected, rel=0.05)


def test_what_no_treatment_was_built_for_is_missing(make, rng):
    model = make(
        "g (float[n, 64] x) => (float[n, 64] y) { y = MatMul (x, w) }", w=np.eye(64, dtype=np.float32)
    )
    x = rng.normal(size=(2, 64)).astype(np.float32)
    assert Sensitivity(model.SerializeToString(), {}, {"y": ["dynamic"]}, ["y"]).errors([{"x": x}], 0.0) == {}
    assert onnx.checker.check_model(model) is None
