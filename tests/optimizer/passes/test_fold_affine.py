import numpy as np
import pytest

from optimizer.passes import FoldAffine

CONV = "g (float[1, 4, 6, 6] x) => (float[?, ?, ?, ?] y) { "


@pytest.fixture
def conv_weights(rng):
    return {
        "w": rng.normal(size=(8, 4, 3, 3)).astype(np.float32),
        "b": rng.normal(size=8).astype(np.float32),
        "one": np.float32(1.7),
        "out": rng.normal(size=(1, 8, 1, 1)).astype(np.float32),
        "inner": rng.normal(size=(4, 1, 1)).astype(np.float32),
        "pixel": rng.normal(size=(4, 4)).astype(np.float32),
    }


@pytest.mark.parametrize(
    "body",
    [
        "h = Conv (x, w, b) k = Mul (h, out) y = Add (one, k) }",
        "h = Conv (x, w) k = Mul (one, h) y = Add (k, out) }",
        "k = Mul (x, inner) y = Conv <pads = [1, 1, 1, 1]> (k, w, b) }",
        "k = Add (x, inner) y = Conv (k, w, b) }",
        "k = Add (x, one) m = Mul (k, inner) h = Conv (m, w) y = Mul (h, out) }",
    ],
)
def test_it_folds_into_convolutions(make, apply, rng, conv_weights, body):
    x = rng.normal(size=(1, 4, 6, 6)).astype(np.float32)
    assert apply(FoldAffine(), make(CONV + body, **conv_weights), x=x).operators == ["Conv"]


@pytest.mark.parametrize("group", [2, 4])
def test_it_folds_into_grouped_convolutions(make, apply, rng, conv_weights, group):
    body = f"k = Mul (x, inner) h = Conv <group = {group}> (k, w, b) y = Mul (h, out) }}"
    conv_weights["w"] = conv_weights["w"][:, : 4 // group]
    x = rng.normal(size=(1, 4, 6, 6)).astype(np.float32)
    assert apply(FoldAffine(), make(CONV + body, **conv_weights), x=x).operators == ["Conv"]


@pytest.mark.parametrize(
    "body",
    [
        "k = Add (x, inner) y = Conv <pads = [1, 1, 1, 1]> (k, w, b) }",  # the padding would be shifted
        'k = Add (x, inner) y = Conv <auto_pad = "SAME_UPPER"> (k, w, b) }',
        "h = Conv (x, w) y = Mul (h, pixel) }",  # differs from pixel to pixel
        "h = Conv (x, w) k = Mul (h, one) y = Add (k, h) }",  # read twice
    ],
)
def test_it_leaves_alone_what_would_change_the_answer(make, apply, rng, conv_weights, body):
    x = rng.normal(size=(1, 4, 6, 6)).astype(np.float32)
    assert not apply(FoldAffine(), make(CONV + body, **conv_weights), x=x).modified


def test_a_number_moves_past_an_addition_into_a_padded_convolution(make, apply, rng, conv_weights):
    body = "h = HardSwish (x) k = Mul (h, one) a = Add (inner, k) y = Conv <pads = [1, 1, 1, 1]> (a, w, b) }"
    x = rng.normal(size=(1, 4, 6, 6)).astype(np.float32)
    applied = apply(FoldAffine(), make(CONV + body, **conv_weights), x=x)
    assert applied.operators == ["HardSwish", "Add", "Conv"]


@pytest.mark.parametrize(
    "body",
    [
        "k = Mul (x, one) a = Add (inner, k) h = Conv <pads = [1, 1, 1, 1]> (a, w, b) y = Mul (h, a) }",
        "k = Mul (x, zero) a = Add (inner, k) y = Conv <pads = [1, 1, 1, 1]> (a, w, b) }",
        "k = Mul (x, inner) a = Add (k, one) y = Conv <pads = [1, 1, 1, 1]> (a, w, b) }",
    ],
)
def test_what_cannot_move_past_an_addition_stays(make, apply, rng, conv_weights, body):
    conv_weights["w"] = conv_weights["w"][:4]
    conv_weights["b"] = conv_weights["b"][:4]
    model = make(CONV + body, zero=np.float32(0), **conv_weights)
    assert not apply(FoldAffine(), model).modified


@pytest.mark.parametrize(
    "body", ["h = MatMul (x, w) y = Mul (h, columns) }", "h = Mul (rows, x) y = MatMul (h, w) }"]
)
def test_it_folds_into_matmul(make, apply, rng, body):
    weights = {"w": rng.normal(size=(6, 5)), "columns": rng.normal(size=5), "rows": rng.normal(size=6)}
    model = make(
        "g (float[2, 3, 6] x) => (float[2, 3, 5] y) { " + body,
        **{name: array.astype(np.float32) for name, array in weights.items()},
    )
    x = rng.normal(size=(2, 3, 6)).astype(np.float32)
    assert apply(FoldAffine(), model, x=x).operators == ["MatMul"]


def test_a_factor_that_widens_its_operand_stays(make, apply, rng):
    weights = {"w": rng.normal(size=(6, 5)).astype(np.float32), "rows": np.ones(6, np.float32)}
    model = make("g (float[2, 1] x) => (float[2, 5] y) { h = Mul (rows, x) y = MatMul (h, w) }", **weights)
    assert not apply(FoldAffine(), model, x=np.ones((2, 1), np.float32)).modified
