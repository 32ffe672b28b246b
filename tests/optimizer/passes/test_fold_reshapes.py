import numpy as np
import onnx
import pytest

from optimizer.passes import FoldReshapes

X = np.arange(48, dtype=np.float32).reshape(2, 3, 8)
HEAD = """g (float[n, 3, 8] x) => (float[n, m] y) {
    s = Shape (x) f = Gather <axis = 0> (s, first) c = Cast <to = 7> (f) """
FIRST = np.array([0])


def test_a_batch_among_constants_is_what_they_leave(make, apply):
    tail = "t = Concat <axis = 0> (c, rest) u = Cast <to = 7> (t) y = Reshape (x, u) }"
    after = apply(FoldReshapes(), make(HEAD + tail, first=FIRST, rest=np.array([24])), x=X).model
    (reshape,) = (node for node in after.graph.node if node.op_type == "Reshape")
    arrays = {one.name: onnx.numpy_helper.to_array(one).tolist() for one in after.graph.initializer}
    assert arrays[reshape.input[1]] == [-1, 24]


@pytest.mark.parametrize(
    ("tail", "rest"),
    [
        ("t = Concat <axis = 0> (c, c, rest) y = Reshape (x, t) }", [24]),  # two are computed
        ("t = Concat <axis = 0> (c, rest) y = Reshape (x, t) }", [-1]),  # the other is free already
        ("t = Concat <axis = 0> (c, rest) y = Reshape <allowzero = 1> (x, t) }", [24]),
    ],
)
def test_shapes_that_stay_computed(make, apply, tail, rest):
    assert not apply(FoldReshapes(), make(HEAD + tail, first=FIRST, rest=np.array(rest))).modified
