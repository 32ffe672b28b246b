import numpy as np
import onnx_ir as ir

from optimizer.quantize import QuantizeDynamic
from optimizer.search.profile import layer_times

TEXT = """g (float[n, 256] x) => (float[n, 256] y) {
    a = MatMul (x, large) b = Add (a, one) c = Relu (b) d = MatMul (c, back) e = MatMul (d, small)
    y = Mul (e, two) }"""
LAYERS = ["a", "d", "e"]


def model(make, rng):
    shapes = {"large": (256, 2048), "back": (2048, 256), "small": (256, 256)}
    weights = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return make(TEXT, **weights, one=np.ones(2048, np.float32), two=np.float32(2))


def times(proto, rng, known=("a", "b", "c", "d", "e", "y")):
    feeds = [{"x": rng.normal(size=(rows, 256)).astype(np.float32)} for rows in (16, 64)]
    return layer_times(proto.SerializeToString(), LAYERS, known, feeds)


def test_larger_layers_take_longer(make, rng):
    taken = times(model(make, rng), rng)
    assert set(taken) == set(LAYERS)
    assert all(ms > 0 for ms in taken.values())
    assert min(taken["a"], taken["d"]) > 2 * taken["e"]


def test_a_treated_layer_is_found_again(make, rng):
    treated = ir.to_proto(QuantizeDynamic(saturates=False)(ir.from_proto(model(make, rng))).model)
    assert set(times(treated, rng)) == set(LAYERS)


def test_a_model_with_branches_is_profiled_too(make, rng):
    text = """g (float[n, 256] x, bool flag) => (float[n, 256] y) {
        a = MatMul (x, w)
        y = If (flag) <then_branch = t () => (float[n, 256] p) { p = Add (a, a) },
                       else_branch = f () => (float[n, 256] q) { q = Mul (a, a) }> }"""
    proto = make(text, w=np.eye(256, dtype=np.float32))
    feeds = [{"x": rng.normal(size=(4, 256)).astype(np.float32), "flag": np.array(True)}]
    assert set(layer_times(proto.SerializeToString(), ["a"], {"a", "y"}, feeds)) == {"a"}
