import numpy as np

from optimizer.passes import MergeMatMuls

HEAD = "g (float[2, 3, 8] x, float[3, 8] z) => (float[2, 3, 4] p, float[2, 3, 6] q) { "


def _weights(rng):
    shapes = {"v": (8, 4), "w": (8, 6), "a": (4,), "b": (6,), "odd": (3, 6)}
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def _feeds(rng):
    return {
        "x": rng.normal(size=(2, 3, 8)).astype(np.float32),
        "z": rng.normal(size=(3, 8)).astype(np.float32),
    }


def test_parallel_matmuls_become_one(make, apply, rng):
    model = make(HEAD + "p = MatMul (x, v) q = MatMul (x, w) }", **_weights(rng))
    assert apply(MergeMatMuls(), model, **_feeds(rng)).operators == ["MatMul", "Split"]


def test_their_biases_are_merged_too(make, apply, rng):
    body = "h = MatMul (x, v) k = MatMul (x, w) p = Add (a, h) q = Add (k, b) }"
    applied = apply(MergeMatMuls(), make(HEAD + body, **_weights(rng)), **_feeds(rng))
    assert applied.operators == ["MatMul", "Add", "Split"]


def test_an_addition_by_row_is_no_bias(make, apply, rng):
    body = "p = MatMul (x, v) k = MatMul (x, w) q = Add (k, odd) }"
    applied = apply(MergeMatMuls(), make(HEAD + body, **_weights(rng)), **_feeds(rng))
    assert applied.operators == ["MatMul", "Split", "Add"]


def test_matmuls_of_different_inputs_stay(make, apply, rng):
    body = "p = MatMul (x, v) y = Add (x, z) q = MatMul (y, w) }"
    assert not apply(MergeMatMuls(), make(HEAD + body, **_weights(rng)), **_feeds(rng)).modified
