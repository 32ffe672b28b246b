import numpy as np
import pytest
from onnx import helper

from optimizer.passes.drop_zero_weights import DropZeroWeights
from tests.optimizer.trees import stumps

X = np.array([[0, 0], [0, 1], [1, 0], [1, 1], [np.nan, 1]], np.float32)


def left(applied):
    (node,) = applied.model.graph.node
    found = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    return [found[name] for name in ("class_treeids", "class_nodeids", "class_ids", "class_weights")]


@pytest.mark.parametrize("more", [{}, {"post_transform": "SOFTMAX"}])
def test_what_a_leaf_has_not_seen_goes(apply, more):
    model = stumps([[[0, 0.5, 0], [0.25, 0, 0.25]], [[0, 0, 0.5], [0, 0.5, 0]]], [3, 1, 2], **more)
    assert left(apply(DropZeroWeights(), model, x=X)) == [
        [0, 0, 0, 1, 1],
        [1, 2, 2, 1, 2],
        [1, 0, 2, 2, 1],
        [0.5, 0.25, 0.25, 0.5, 0.5],
    ]


@pytest.mark.parametrize(
    "weights",
    [
        [[[0.5, 0], [0, 0.5]]],  # of two classes
        [[[-0.5, 0, 0], [0, 0.5, 0]]],  # here class 1 wins with 0
        [[[0, 0, 0], [0, 0.5, 0]]],  # a leaf would have none
        [[[0.5, 0.25, 0.25], [0.25, 0.5, 0.25]]],  # no zeros
    ],
)
def test_what_counts_stays(apply, weights):
    assert not apply(DropZeroWeights(), stumps(weights, list(range(len(weights[0][0])))), x=X).modified
