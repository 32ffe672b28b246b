import numpy as np
import pytest

from optimizer.passes import RemoveRounding

X = np.linspace(-1, 1, 24, dtype=np.float32).reshape(2, 12)
STEPS = {"s": np.float32(0.01), "z": np.int8(3)}
MOVED = ["Relu", "Transpose", "Transpose", "Neg"]
HEAD = "g (float[2, 12] x) => (float[2, 12] y) { r = Relu (x) q = QuantizeLinear (r, s, z) "


def floats(model, answers):
    return answers(model, {"x": X})[0]


@pytest.mark.parametrize(
    ("tail", "left"),
    [
        ("d = DequantizeLinear (q, s, z) y = Neg (d) }", ["Relu", "Neg"]),
        ("y = DequantizeLinear (q, s, z) }", ["Relu"]),
        (
            "m = Identity (q) d = DequantizeLinear (m, s, z) e = DequantizeLinear (q, s, z) y = Add (d, e) }",
            ["Relu", "Identity", "Add"],
        ),
        ("t = Transpose (q) u = Transpose (t) d = DequantizeLinear (u, s, z) y = Neg (d) }", MOVED),
    ],
)
def test_rounded_activations_become_floats(make, apply, answers, tail, left):
    model = make(HEAD + tail, **STEPS)
    after = apply(RemoveRounding(), model)
    assert after.operators == left
    assert np.abs(floats(after.model, answers) - floats(model, answers)).max() <= 0.0101


@pytest.mark.parametrize(
    "tail",
    [
        "d = DequantizeLinear (q, other, z) y = Neg (d) }",  # what comes out is not what went in
        "c = Cast <to = 1> (q) y = Neg (c) }",  # the rounded numbers themselves
    ],
)
def test_rounding_that_something_else_needs_stays(make, apply, tail):
    model = make(HEAD + tail, **STEPS, other=np.float32(0.02))
    assert not apply(RemoveRounding(), model, x=X).modified


@pytest.mark.parametrize(
    ("scale", "zero", "axis"),
    [
        (np.float32(0.5), np.int8(-2), 1),
        (np.linspace(0.1, 0.9, 12, dtype=np.float32), np.zeros(12, np.int8), 0),
        (np.linspace(0.1, 0.9, 12, dtype=np.float32), np.arange(12, dtype=np.int8), 1),
    ],
)
def test_stored_weights_become_floats(make, apply, scale, zero, axis):
    text = f"""g (float[2, 12] x) => (float[2, 12] y) {{
        d = DequantizeLinear <axis = {axis}> (w, s, z) y = MatMul (x, d) }}"""
    w = np.arange(144, dtype=np.int8).reshape(12, 12)
    assert apply(RemoveRounding(), make(text, w=w, s=scale, z=zero), x=X).operators == ["MatMul"]
