import numpy as np
import onnx_ir as ir
import pytest
from onnx_ir.passes import common

from optimizer.passes import FoldRepeatedRows

HEAD = "g (int64[b, s] ids) => (float[?, ?, 4] y) { e = Gather (words, ids) f = Shape (ids) "


@pytest.fixture
def fixed(rng):
    tables = {name: rng.normal(size=(5, 4)).astype(np.float32) for name in ("words", "types")}
    return tables | {"buffer": np.zeros((1, 1), np.int64), "iota": np.arange(5)[None], "one": np.array([1])}


def living(model):
    graph = common.RemoveUnusedNodesPass()(ir.from_proto(model)).model.graph
    return [node.op_type for node in graph]


IDS = np.array([[1, 0, 4], [2, 2, 3]])


def test_indices_that_are_all_zero(make, apply, fixed):
    model = make(HEAD + "i = Expand (buffer, f) t = Gather (types, i) y = Add (e, t) }", **fixed)
    applied = apply(FoldRepeatedRows(), model, ids=IDS)
    assert living(applied.model) == ["Gather", "Add"]


@pytest.mark.parametrize(
    "tail",
    [
        "n = Slice (f, one, two) p = Slice (iota, zero, n, one) t = Gather (types, p) y = Add (e, t) }",
        "i = Mul (ids, zero) t = Gather (types, i) y = Add (e, t) }",
        "w = Concat <axis = 0> (two, f) i = Expand (buffer, w) t = Gather (types, i) y = Add (e, t) }",
    ],
)
def test_what_only_resembles_it(make, apply, fixed, tail):
    """Rows that differ, indices that are computed from content, an operand that widens the other."""
    model = make(HEAD + tail, zero=np.array([0]), two=np.array([2]), **fixed)
    assert not apply(FoldRepeatedRows(), model, ids=IDS).modified
