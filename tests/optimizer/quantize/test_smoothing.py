import numpy as np
import onnx_ir as ir
import pytest
from onnx_ir.passes import common

from optimizer.passes import FuseAttention
from optimizer.quantize import QuantizeDynamic
from optimizer.quantize.smoothing import Smooth, plan_smoothing

WIDTH = 64
SPREAD = np.float32(2.0) ** np.linspace(-4, 4, WIDTH, dtype=np.float32)
HEAD = f"g (float[b, s, {WIDTH}] x) => (float[?, ?, ?] y) {{ "


@pytest.fixture
def build(make, rng):
    def build(text, **more):
        matrices = {name: rng.normal(size=(WIDTH, WIDTH)).astype(np.float32) / 8 for name in ("w", "v", "u")}
        vectors = {name: rng.normal(size=WIDTH).astype(np.float32) for name in ("b", "c")}
        used = {
            name: array
            for name, array in (matrices | vectors).items()
            if f"{name})" in text or f"({name}" in text
        }
        return make(HEAD + text, **used, **more)

    return build


@pytest.fixture
def samples(rng):
    return [{"x": rng.normal(size=(1, 9, WIDTH)).astype(np.float32)} for _ in range(8)]


@pytest.fixture
def smoothed(apply, answers, samples):
    """Smooth a model; what is changed must answer as before. Both after int8, too: the errors of the two."""

    def smoothed(model, *, saturates=False):
        plan = plan_smoothing(model.SerializeToString(), samples, 0, saturates=saturates)
        changed = Smooth(plan)(ir.from_proto(model))
        proto = ir.to_proto(changed.model)
        before = answers(model, samples[0])[0]
        np.testing.assert_allclose(answers(proto, samples[0])[0], before, rtol=1e-3, atol=1e-3)
        errors = []
        for one in (model, proto):
            integer = apply(QuantizeDynamic(saturates=saturates), one).model
            errors.append(np.linalg.norm(answers(integer, samples[0])[0] - before))
        return plan, [node.op_type for node in proto.graph.node], errors

    return smoothed


def test_into_the_normalisation_before(build, smoothed):
    model = build("n = LayerNormalization (x, g, c) h = MatMul (n, w) y = Add (h, b) }", g=SPREAD)
    plan, operators, (before, after) = smoothed(model)
    assert operators == ["LayerNormalization", "MatMul", "Add"]
    assert after < 0.6 * before
    assert plan["n"].error < 0.6 * plan["n"].plain_error


def test_a_residual_gets_back_what_the_normalisation_gave(build, smoothed):
    model = build(
        """n = LayerNormalization (x, g, c) h = MatMul (n, w) r = Relu (h) k = MatMul (r, v) l = Add (k, b)
        y = Add (n, l) }""",
        g=SPREAD,
    )
    plan, operators, _ = smoothed(model)
    assert {"n", "r"} >= set(plan) > set()
    assert operators == ["LayerNormalization", "Mul", "MatMul", "Add", "Relu", "MatMul", "Add", "Add"]


def test_other_readers_get_back_what_the_normalisation_gave(build, smoothed):
    model = build("n = LayerNormalization (x, g, c) h = MatMul (n, w) s = Sin (n) y = Mul (h, s) }", g=SPREAD)
    assert smoothed(model)[1] == ["LayerNormalization", "Mul", "Add", "MatMul", "Add", "Sin", "Mul"]


def test_into_the_columns_of_the_product_before(build, smoothed, rng):
    model = build("h = MatMul (x, w) a = Add (h, big) k = MatMul (a, v) y = Neg (k) }", big=SPREAD)
    plan, operators, (before, after) = smoothed(model)
    assert "a" in plan
    assert operators == ["MatMul", "Add", "MatMul", "Add", "Neg"]
    assert after < before


def test_through_relu_goes_a_scale_but_no_shift(build, smoothed):
    model = build("h = MatMul (x, wide) r = Relu (h) k = MatMul (r, v) y = Neg (k) }", wide=np.diag(SPREAD))
    plan, operators, (before, after) = smoothed(model)
    assert not plan["r"].shift.any()
    assert operators[-4:] == ["MatMul", "Relu", "MatMul", "Neg"]
    assert after < 0.7 * before


def test_into_the_values_of_an_attention(make, apply, smoothed, rng):
    text = """q = MatMul (x, wq) a = Add (q, big) k, l, v = Split <axis = -1> (a, sizes)
        kr = Reshape (k, split) kh = Transpose <perm = [0, 2, 1, 3]> (kr)
        lr = Reshape (l, split) lh = Transpose <perm = [0, 2, 3, 1]> (lr)
        vr = Reshape (v, split) vh = Transpose <perm = [0, 2, 1, 3]> (vr)
        m = MatMul (kh, lh) p = Softmax (m) o = MatMul (p, vh) ot = Transpose <perm = [0, 2, 1, 3]> (o)
        j = Reshape (ot, join) h = MatMul (j, w) y = Neg (h) }"""
    model = make(
        HEAD + text,
        wq=rng.normal(size=(WIDTH, 3 * WIDTH)).astype(np.float32) / 30,
        big=np.tile(SPREAD / 16, 3),
        sizes=np.full(3, WIDTH),
        split=np.array([0, 0, 4, WIDTH // 4]),
        join=np.array([0, 0, WIDTH]),
        w=rng.normal(size=(WIDTH, WIDTH)).astype(np.float32),
    )
    fused = common.RemoveUnusedNodesPass()(ir.from_proto(apply(FuseAttention(), model).model)).model
    plan, operators, (before, after) = smoothed(ir.to_proto(fused))
    assert plan["j"].shift.any()
    assert operators[-4:] == ["MultiHeadAttention", "MatMul", "Add", "Neg"]
    assert after < before


def test_a_few_outliers_are_multiplied_apart(build, smoothed):
    factor = np.ones(WIDTH, np.float32)
    factor[[3, 40]] = 100
    model = build(
        "z = Mul (x, factor) t = Sin (x) a = Add (z, t) h = MatMul (a, w) y = Add (h, b) }", factor=factor
    )
    plan, operators, (before, after) = smoothed(model)
    assert sorted(plan["a"].exact) == [3, 40]
    assert operators.count("Gather") == 1
    assert after < 0.1 * before


def test_all_that_read_a_value_are_smoothed_together(build, smoothed):
    model = build(
        "n = LayerNormalization (x, g) h = MatMul (n, w) k = MatMul (n, v) y = Mul (h, k) }", g=SPREAD
    )
    assert smoothed(model)[1].count("LayerNormalization") == 1


def test_what_is_alike_already_stays(build, samples, apply):
    model = build("s = Sin (x) h = MatMul (s, w) y = Neg (h) }")
    plan = plan_smoothing(model.SerializeToString(), samples, 0, saturates=True)
    assert plan == {}
    assert not apply(Smooth(plan), model, **samples[0]).modified
