import numpy as np
import pytest

from optimizer.passes import FuseHardSwish

LOW, HIGH = np.float32(0), np.float32(6)
X = np.linspace(-5, 5, 30, dtype=np.float32).reshape(2, 15)
THREE, SIX, SIXTH = np.float32(3), np.float32(6), np.float32(1 / 6)
HEAD = "g (float[2, 15] x) => (float[2, 15] y) { a = Add (x, three) c = Clip (a, low, high) "


@pytest.mark.parametrize(
    "tail",
    [
        "m = Mul (x, c) y = Div (m, six) }",
        "m = Mul (c, x) y = Mul (m, sixth) }",
        "d = Div (c, six) y = Mul (x, d) }",
        "d = Mul (sixth, c) y = Mul (d, x) }",
    ],
)
def test_the_ways_to_spell_it(make, apply, tail):
    model = make(HEAD + tail, low=LOW, high=HIGH, three=THREE, six=SIX, sixth=SIXTH)
    assert apply(FuseHardSwish(), model, x=X).operators == ["HardSwish"]


def test_the_spelling_with_hard_sigmoid(make, apply):
    text = "g (float[2, 15] x) => (float[2, 15] y) { s = HardSigmoid <alpha = 0.1666667> (x) y = Mul (x, s) }"
    assert apply(FuseHardSwish(), make(text), x=X).operators == ["HardSwish"]


@pytest.mark.parametrize(
    ("tail", "three"),
    [
        ("m = Mul (x, c) y = Div (m, six) }", 2.5),  # another constant
        ("m = Mul (x, c) y = Div (six, m) }", 3),  # divided the other way
        ("m = Mul (x, a) n = Mul (m, c) y = Div (n, six) }", 3),  # another product
        ("m = Mul (x, c) n = Div (m, six) y = Add (n, c) }", 3),  # the clip is read elsewhere
    ],
)
def test_what_only_resembles_it(make, apply, tail, three):
    model = make(HEAD + tail, low=LOW, high=HIGH, three=np.float32(three), six=SIX)
    assert not apply(FuseHardSwish(), model, x=X + 0.1).modified


def test_opset_13_has_no_hard_swish(make, apply):
    text = HEAD + "m = Mul (x, c) y = Div (m, six) }"
    model = make(text, opset=13, low=LOW, high=HIGH, three=THREE, six=SIX)
    assert not apply(FuseHardSwish(), model, x=X).modified
