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
