import numpy as np
import onnx_ir as ir
import pytest
from onnx_ir.passes import common

from optimizer.passes import ApproximateGelu, FoldAffine

X = np.linspace(-6, 6, 60, dtype=np.float32).reshape(3, 20)
NUMBERS = {
    "root": np.float32(np.sqrt(2)),
    "inverse": np.float32(np.sqrt(0.5)),
    "half": np.float32(0.5),
    "one": np.float32(1),
    "two": np.float32(2),
}
HEAD = "g (float[3, 20] x) => (float[3, 20] y) { "


def error(make, apply, answers, text, **numbers):
    model = make(text, **{**NUMBERS, **numbers})
    applied = apply(ApproximateGelu(), model)
    before, after = (answers(one, {"x": X})[0] for one in (model, applied.model))
    return living(applied.model), np.abs(after - before).max()


def living(model):
    """The operators that the answer needs."""
    graph = common.RemoveUnusedNodesPass()(ir.from_proto(model)).model.graph
    return [node.op_type for node in graph]


@pytest.mark.parametrize(
    "text",
    [
        "d = Div (x, root) e = Erf (d) a = Add (e, one) m = Mul (x, a) y = Mul (m, half) }",
        "d = Mul (inverse, x) e = Erf (d) a = Add (one, e) h = Mul (half, x) y = Mul (a, h) }",
        "d = Div (x, root) e = Erf (d) a = Add (e, one) h = Mul (a, half) y = Mul (x, h) }",
        "d = Div (x, root) e = Erf (d) a = Add (e, one) m = Mul (x, a) y = Div (m, two) }",
    ],
)
def test_the_ways_to_spell_it(make, apply, answers, text):
    operators, largest = error(make, apply, answers, HEAD + text)
    assert operators == ["FastGelu"]
    assert largest < 5e-4


def test_a_half_that_is_missing_becomes_a_two(make, apply, answers):
    text = HEAD + "d = Div (x, root) e = Erf (d) a = Add (e, one) y = Mul (x, a) }"
    operators, largest = error(make, apply, answers, text)
    assert operators == ["FastGelu", "Mul"]
    assert largest < 1e-3


def test_and_goes_where_the_half_went(make, apply, rng):
    text = """g (float[3, 20] x) => (float[3, 4] y) {
        d = Div (x, root) e = Erf (d) a = Add (e, one) m = Mul (x, a) y = MatMul (m, w) }"""
    model = make(text, w=rng.normal(size=(20, 4)).astype(np.float32), **NUMBERS)
    folded = apply(FoldAffine(), apply(ApproximateGelu(), model).model)
    assert living(folded.model) == ["FastGelu", "MatMul"]


def test_the_operator_of_opset_20(make, apply):
    model = make(HEAD + "y = Gelu (x) }", opset=20)
    assert apply(ApproximateGelu(), model).operators == ["FastGelu"]
    model = make(HEAD + 'y = Gelu <approximate = "tanh"> (x) }', opset=20)
    assert not apply(ApproximateGelu(), model).modified


@pytest.mark.parametrize(
    ("text", "one"),
    [
        ("d = Div (x, root) e = Erf (d) a = Add (e, one) m = Mul (x, a) y = Mul (m, half) }", 1.5),
        ("d = Div (x, two) e = Erf (d) a = Add (e, one) m = Mul (x, a) y = Mul (m, half) }", 1),
        ("d = Div (x, root) e = Erf (d) a = Add (e, one) m = Mul (e, a) y = Mul (m, half) }", 1),
        (
            "d = Div (x, root) e = Erf (d) a = Add (e, one) n = Mul (x, a) y = Add (n, e) }",
            1,
        ),
    ],
)
def test_what_only_resembles_it(make, apply, text, one):
    model = make(HEAD + text, **{**NUMBERS, "one": np.float32(one)})
    assert not apply(ApproximateGelu(), model, x=X).modified
