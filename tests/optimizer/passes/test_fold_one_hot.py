import numpy as np
import onnx_ir as ir
import pytest
from onnx_ir.passes import common

from optimizer.passes import FoldOneHot

HEAD = "g (int64[a] i) => (float[?, 4] y) { "
INDICES = np.array([0, 4, 2, -1, -5, 5, 99, -6])


@pytest.fixture
def fixed(rng):
    weight = rng.normal(size=(5, 4)).astype(np.float32)
    return {"depth": np.array(5), "values": np.array([0, 2], np.float32), "w": weight}


def living(model):
    graph = common.RemoveUnusedNodesPass()(ir.from_proto(model)).model.graph
    return [node.op_type for node in graph]


def test_a_product_with_one_hot_vectors(make, apply, fixed):
    model = make(HEAD + "o = OneHot (i, depth, values) y = MatMul (o, w) }", **fixed)
    applied = apply(FoldOneHot(), model, i=INDICES)
    assert living(applied.model) == ["Add", "Clip", "Gather"]


def test_who_else_reads_them_keeps_them(make, apply, fixed):
    text = "g (int64[a] i) => (float[?, 4] y, float[?, 5] z) { o = OneHot (i, depth, values) "
    model = make(text + "y = MatMul (o, w) z = Neg (o) }", **fixed)
    assert "OneHot" in living(apply(FoldOneHot(), model, i=INDICES).model)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("o = OneHot (i, depth, values) y = MatMul (o, w) }", [1, 2]),
        ("o = OneHot <axis = 0> (i, depth, values) t = Transpose (o) y = MatMul (t, w) }", [0, 1]),
    ],
)
def test_what_only_resembles_it(make, apply, fixed, text, values):
    model = make(HEAD + text, **{**fixed, "values": np.array(values, np.float32)})
    assert not apply(FoldOneHot(), model, i=INDICES).modified


EQUAL = "g (int32[a, b] i) => (float[?, ?, 4] y) {{ u = Unsqueeze (i, last) {} y = MatMul (c, w) }}"
CODES = np.array([[0, 4, 2], [-1, 5, 99]], np.int32)


@pytest.fixture
def compared():
    return {"numbers": np.arange(5, dtype=np.int32).reshape(1, 1, 5), "last": np.array([-1])}


@pytest.mark.parametrize("compare", ["e = Equal (u, numbers)", "e = Equal (numbers, u)"])
def test_one_hot_vectors_by_comparison(make, apply, fixed, compared, compare):
    model = make(EQUAL.format(f"{compare} c = Cast <to = 1> (e)"), w=fixed["w"], **compared)
    applied = apply(FoldOneHot(), model, i=CODES)
    assert living(applied.model) == ["Unsqueeze", "Squeeze", "Add", "Clip", "Gather"]


def test_integers_that_are_expanded_before(make, apply, fixed, compared):
    text = "s = Shape (i) t = Concat <axis = 0> (s, five) x = Expand (u, t) e = Equal (x, numbers)"
    model = make(EQUAL.format(f"{text} c = Cast <to = 1> (e)"), w=fixed["w"], five=np.array([5]), **compared)
    assert "MatMul" not in living(apply(FoldOneHot(), model, i=CODES).model)


@pytest.mark.parametrize(("numbers", "column"), [([0, 1, 2, 3, 5], True), ([0, 1, 2, 3, 4], False)])
def test_other_comparisons(make, apply, fixed, numbers, column):
    shape = "a, 1" if column else "a, 5"
    text = f"g (int32[{shape}] i) => (float[?, 4] y) {{ e = Equal (i, numbers) c = Cast <to = 1> (e)"
    model = make(f"{text} y = MatMul (c, w) }}", w=fixed["w"], numbers=np.array([numbers], np.int32))
    assert not apply(FoldOneHot(), model, i=np.zeros((3, 1 if column else 5), np.int32)).modified
