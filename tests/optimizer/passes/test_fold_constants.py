import numpy as np

from optimizer.passes import FoldConstants


def test_chains_of_constants_fold(make, apply):
    text = "g (float[2, 3] x) => (float[2, 3] y) { a = Neg (w) b = Exp (a) y = Mul (x, b) }"
    applied = apply(FoldConstants(), make(text, w=np.ones(3, np.float32)), x=np.ones((2, 3), np.float32))
    assert applied.operators == ["Mul"]


def test_an_output_that_is_constant_is_still_given(make, apply):
    text = "g (float[1] x) => (float[1] y, float[1] z) { y = Relu (x) z = Neg (w) }"
    applied = apply(FoldConstants(), make(text, w=np.ones(1, np.float32)), x=np.ones(1, np.float32))
    assert applied.operators == ["Relu", "Identity"]


def test_what_would_grow_stays_computed(make, apply):
    text = "g (float[1] x) => (float[?] y) { big = ConstantOfShape (shape) y = Mul (x, big) }"
    model = make(text, shape=np.array([100_000], np.int64))
    assert not apply(FoldConstants(), model, x=np.ones(1, np.float32)).modified


def test_random_numbers_and_stored_weights_are_left_alone(make, apply):
    text = """g (float[2] x) => (float[2] y, float[2] z) {
        r = RandomNormalLike (w) y = Add (x, r) d = DequantizeLinear (q, s) z = Add (x, d) }"""
    model = make(text, w=np.ones(2, np.float32), q=np.ones(2, np.int8), s=np.float32(0.5))
    assert not apply(FoldConstants(), model).modified


def test_an_operator_that_cannot_run_alone_is_left_alone(make, apply):
    text = "g (float[2] x) => (float[2] y) { t = my.own.Twist (w) y = Add (x, t) }"
    assert not apply(FoldConstants(), make(text, w=np.ones(2, np.float32))).modified


def test_a_branch_is_left_alone(make, apply):
    text = """g (float[2] x) => (float[2] y) {
        y = If (c) <then_branch = t () => (float[2] a) { a = Relu (x) },
                    else_branch = e () => (float[2] b) { b = Neg (x) }> }"""
    model = make(text, c=np.array(True))
    assert not apply(FoldConstants(), model, x=np.array([-1, 2], np.float32)).modified
