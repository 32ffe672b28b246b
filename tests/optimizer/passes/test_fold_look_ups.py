import numpy as np
import onnx_ir as ir
import pytest
from onnx_ir.passes import common

from optimizer.passes import FoldLookUps

HEAD = "g (int64[a, b] i) => (float[?, ?, 4] y) { e = Gather (table, i) "
INDICES = np.array([[0, 6, 3], [2, -1, 2]])


@pytest.fixture
def table(rng):
    return rng.normal(size=(7, 4)).astype(np.float32)


def living(model):
    graph = common.RemoveUnusedNodesPass()(ir.from_proto(model)).model.graph
    return [node.op_type for node in graph]


def test_what_is_done_to_each_element(make, apply, table, rng):
    text = HEAD + "s = Add (e, row) t = Tanh (s) h = Mul (half, t) y = Mul (s, h) }"
    row = rng.normal(size=(1, 1, 4)).astype(np.float32)
    model = make(text, table=table, row=row, half=np.array(0.5, np.float32))
    assert living(apply(FoldLookUps(), model, i=INDICES).model) == ["Gather"]


def test_what_mixes_elements_stays(make, apply, table):
    model = make(HEAD + "r = Relu (e) y = Softmax (r) }", table=table)
    assert living(apply(FoldLookUps(), model, i=INDICES).model) == ["Gather", "Softmax"]


@pytest.mark.parametrize(
    "text",
    [
        "r = Relu (e) t = Tanh (e) s = Softmax (t) y = Mul (r, s) }",  # two tables would be needed
        "y = Add (e, column) }",
        "f = Gather (table, i) y = Mul (e, f) }",
        "y = Log (e) }",  # of negative numbers
    ],
)
def test_what_only_resembles_it(make, apply, table, text, rng):
    column = rng.normal(size=(3, 1)).astype(np.float32)
    model = make(HEAD + text, table=table, **({"column": column} if "column" in text else {}))
    assert not apply(FoldLookUps(), model, i=INDICES).modified
