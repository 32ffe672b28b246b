import numpy as np
import pytest

from optimizer.passes import FuseAttention

HEADS, WIDTH = 4, 24
FIXED = {
    "split": np.array([0, -1, HEADS, WIDTH // HEADS]),
    "join": np.array([0, -1, WIDTH]),
    "scale": np.float32(0.4),
    "root": np.float32(0.4**0.5),
    "one": np.float32(1),
    "low": np.float32(-10000),
    "axes": np.array([1, 2]),
}
HEAD = "g (float[b, s, 24] q, float[b, t, 24] k, float[b, t, 24] v{more}) => (float[?, ?, ?] y) {{ "
SPLIT = """qr = Reshape (q, split) qh = Transpose <perm = [0, 2, 1, 3]> (qr)
    kr = Reshape (k, split) kh = Transpose <perm = [0, 2, 3, 1]> (kr)
    vr = Reshape (v, split) vh = Transpose <perm = [0, 2, 1, 3]> (vr) """
SCORES = "m = MatMul (qh, kh) s = Mul (m, scale) "
JOIN = " o = MatMul (p, vh) ot = Transpose <perm = [0, 2, 1, 3]> (o) y = Reshape (ot, join) }"
PADDING = """f = Cast <to = 1> (mask) g = Unsqueeze (f, axes) n = Sub (one, g) bias = Mul (n, low) """


@pytest.fixture
def feeds(rng):
    def draw(queries=5, keys=7, **more):
        lengths = {"q": queries, "k": keys, "v": keys}
        return {n: rng.normal(size=(2, s, WIDTH)).astype(np.float32) for n, s in lengths.items()} | more

    return draw


def test_without_a_mask(make, apply, feeds):
    model = make(HEAD.format(more="") + SPLIT + SCORES + "p = Softmax <axis = -1> (s)" + JOIN, **FIXED)
    assert apply(FuseAttention(), model, **feeds()).operators[-1] == "MultiHeadAttention"


def test_the_scale_may_be_shared_between_query_and_key(make, apply, feeds):
    text = """qr = Reshape (q, split) qh = Transpose <perm = [0, 2, 1, 3]> (qr) qs = Mul (qh, root)
        kr = Reshape (k, split) kh = Transpose <perm = [0, 2, 1, 3]> (kr)
        kt = Transpose <perm = [0, 1, 3, 2]> (kh) ks = Mul (kt, root)
        vr = Reshape (v, split) vh = Transpose <perm = [0, 2, 1, 3]> (vr)
        m = MatMul (qs, ks) p = Softmax (m)"""
    applied = apply(FuseAttention(), make(HEAD.format(more="") + text + JOIN, **FIXED), **feeds())
    assert applied.modified
    scale = next(a for n in applied.model.graph.node for a in n.attribute if a.name == "scale")
    assert scale.f == pytest.approx(0.4)


def test_a_padding_mask_is_recognised_by_what_it_computes(make, apply, feeds):
    text = (
        HEAD.format(more=", int64[b, t] mask")
        + PADDING
        + SPLIT
        + SCORES
        + "z = Add (s, bias) p = Softmax (z)"
    )
    mask = np.array([[1, 1, 1, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1, 0]])
    applied = apply(FuseAttention(), make(text + JOIN, **FIXED), **feeds(mask=mask))
    attention = applied.model.graph.node[-1]
    assert (attention.op_type, attention.input[4], attention.input[5:]) == ("MultiHeadAttention", "val_0", [])


def test_a_mask_the_other_way_round_is_no_padding_mask(make, apply, feeds):
    text = (
        HEAD.format(more=", int64[b, t] mask")
        + PADDING.replace("Sub (one, g)", "Mul (one, g)")
        + SPLIT
        + SCORES
    )
    model = make(text + "z = Add (s, bias) p = Softmax (z)" + JOIN, **FIXED)
    mask = np.array([[1, 1, 1, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1, 0]])
    attention = apply(FuseAttention(), model, **feeds(mask=mask)).model.graph.node[-1]
    assert len(attention.input) == 6


@pytest.mark.parametrize("shape", [(5, 7), (1, 1, 1, 7), (2, 1, 5, 7), (1, HEADS, 5, 7), (2, HEADS, 1, 7)])
def test_any_other_mask_is_added(make, apply, feeds, rng, shape):
    axes = ", ".join(map(str, shape))
    text = HEAD.format(more=f", float[{axes}] bias") + SPLIT + SCORES + "z = Add (bias, s) p = Softmax (z)"
    bias = rng.normal(size=shape).astype(np.float32)
    applied = apply(FuseAttention(), make(text + JOIN, **FIXED), **feeds(bias=bias))
    assert applied.operators[-1] == "MultiHeadAttention"


@pytest.mark.parametrize(
    "middle",
    [
        "p = Softmax <axis = 1> (s)",
        "r = Softmax (s) p = Add (r, r)",
        "r = Relu (s) p = Softmax (r)",
    ],
)
def test_what_only_resembles_it(make, apply, feeds, middle):
    model = make(HEAD.format(more="") + SPLIT + SCORES + middle + JOIN, **FIXED)
    assert not apply(FuseAttention(), model, **feeds()).modified


def test_a_model_of_opset_13_stays(make, apply, feeds):
    text = HEAD.format(more="") + SPLIT + SCORES + "p = Softmax <axis = -1> (s)" + JOIN
    assert not apply(FuseAttention(), make(text, opset=13, **FIXED), **feeds()).modified
