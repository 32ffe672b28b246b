import numpy as np
import pytest

from optimizer.passes import SqueezeOperands


@pytest.mark.parametrize("text", ["y = Add (x, row)", "y = Sub (row, x)"])
def test_leading_axes_go(make, apply, rng, text):
    model = make(
        f"g (float[a, b, 4] x) => (float[a, b, 4] y) {{ {text} }}", row=np.ones((1, 1, 4), np.float32)
    )
    applied = apply(SqueezeOperands(), model, x=rng.normal(size=(2, 3, 4)).astype(np.float32))
    assert applied.modified
    (used,) = [name for name in applied.model.graph.node[0].input if name != "x"]
    assert next(array for array in applied.model.graph.initializer if array.name == used).dims == [4]


def test_axes_that_the_result_needs_stay(make, apply):
    row = np.ones((1, 1, 4), np.float32)
    model = make("g (float[b, 4] x) => (float[1, b, 4] y) { y = Add (x, row) }", row=row)
    assert not apply(SqueezeOperands(), model, x=np.ones((3, 4), np.float32)).modified
