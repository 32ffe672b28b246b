import numpy as np
import pytest

from optimizer.passes import FoldBatchNormalization

TEXT = """g (float[1, 4, 6, 6] x) => (float[?, ?, ?, ?] y) {
    h = Conv <group = GROUP> (xBIAS) y = BatchNormalization <epsilon = 0.01> (h, scale, shift, mean, var) }"""


def _weights(rng, channels=8, group=1):
    return {
        "w": rng.normal(size=(channels, 4 // group, 3, 3)).astype(np.float32),
        "b": rng.normal(size=channels).astype(np.float32),
        "scale": rng.normal(size=channels).astype(np.float32),
        "shift": rng.normal(size=channels).astype(np.float32),
        "mean": rng.normal(size=channels).astype(np.float32),
        "var": rng.uniform(0.1, 2, size=channels).astype(np.float32),
    }


@pytest.mark.parametrize("group", [1, 2, 4])
@pytest.mark.parametrize("bias", [", w", ", w, b"])
def test_it_folds_into_the_convolution(make, apply, rng, group, bias):
    model = make(TEXT.replace("GROUP", str(group)).replace("BIAS", bias), **_weights(rng, group=group))
    x = rng.normal(size=(1, 4, 6, 6)).astype(np.float32)
    applied = apply(FoldBatchNormalization(), model, x=x)
    assert applied.operators == ["Conv"]


def test_it_stays_where_others_read_the_convolution(make, apply, rng):
    text = TEXT.replace("GROUP", "1").replace("BIAS", ", w").replace("y)", "y, float[?, ?, ?, ?] z)")
    text = text.rstrip(" }") + " z = Relu (h) }"
    x = rng.normal(size=(1, 4, 6, 6)).astype(np.float32)
    assert not apply(FoldBatchNormalization(), make(text, **_weights(rng)), x=x).modified


def test_it_stays_where_the_weights_are_an_input(make, apply, rng):
    text = TEXT.replace("GROUP", "1").replace("BIAS", ", w").replace("x)", "x, float[8, 4, 3, 3] w)", 1)
    weights = _weights(rng)
    weight = weights.pop("w")
    x = rng.normal(size=(1, 4, 6, 6)).astype(np.float32)
    assert not apply(FoldBatchNormalization(), make(text, **weights), x=x, w=weight).modified
