import numpy as np
import pytest

from optimizer.passes import FoldTransposes

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 3, 4, 5)).astype(np.float32)
W = RNG.normal(size=(60, 6)).astype(np.float32)
HEAD = "g (float[n, 3, 4, 5] x) => (float[n, 6] y) { t = Transpose <perm = [0, 2, 3, 1]> (x) "
FLAT = np.array([-1, 60])


@pytest.mark.parametrize(
    ("tail", "w"),
    [
        ("r = Reshape (t, s) y = MatMul (r, w) }", W),
        ("r = Reshape (t, s) y = Gemm (r, w, b) }", W),
        ("r = Reshape (t, s) y = Gemm <transB = 1> (r, w, b) }", W.T.copy()),
    ],
)
def test_the_weights_take_the_order(make, apply, tail, w):
    model = make(HEAD + tail, w=w, b=np.ones(6, np.float32), s=FLAT)
    assert "Transpose" not in apply(FoldTransposes(), model, x=X).operators


@pytest.mark.parametrize(
    "tail",
    [
        "r = Reshape (t, s) u = Reshape (r, s) y = MatMul (u, w) }",  # it is not the product that reads
        "r = Reshape (t, s) m = MatMul (r, w) n = ReduceMean (t) y = Add (m, n) }",  # it is read elsewhere
    ],
)
def test_transposes_that_stay(make, apply, tail):
    assert not apply(FoldTransposes(), make(HEAD + tail, w=W, s=FLAT), x=X).modified


def test_the_batch_is_part_of_the_order(make, apply):
    text = """g (float[2, 3, 4] x) => (float[2, 6] y) {
        t = Transpose <perm = [1, 0, 2]> (x) r = Reshape (t, s) y = MatMul (r, w) }"""
    assert not apply(FoldTransposes(), make(text, w=W[:12], s=np.array([2, 12]))).modified
