import numpy as np
import onnx
import pytest
from onnx import helper

from optimizer.passes.compact_trees import CompactTrees

X = np.array([[0, 0], [0.5, 0.25], [1, -1], [np.nan, 2], [-3, np.nan]], np.float32)


def tree(number, mode, splits, weights):
    """Of two splits, the second below the first; what is missing goes to the right at the second."""
    return {
        "nodes_treeids": [number] * 5,
        "nodes_nodeids": [0, 1, 2, 3, 4],
        "nodes_featureids": [number % 2, 1, 0, 0, 0],
        "nodes_modes": [mode, mode, "LEAF", "LEAF", "LEAF"],
        "nodes_values": [*splits, 0.0, 0.0, 0.0],
        "nodes_truenodeids": [1, 2, 0, 0, 0],
        "nodes_falsenodeids": [4, 3, 0, 0, 0],
        "nodes_missing_value_tracks_true": [0, 1, 0, 0, 0],
        "target_treeids": [number] * 3,
        "target_nodeids": [2, 3, 4],
        "target_ids": [0, 0, 0],
        "target_weights": weights,
    }


def ensemble(*trees, **more):
    joined = {name: [value for one in trees for value in one[name]] for name in trees[0]}
    x = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["batch", 2])
    y = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["batch", 1])
    attributes = {"n_targets": 1, **joined, **more}
    node = helper.make_node("TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", **attributes)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(helper.make_graph([node], "t", [x], [y]), opset_imports=opsets, ir_version=8)


@pytest.mark.parametrize(
    "mode", ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"]
)
def test_it_answers_the_same(apply, mode):
    model = ensemble(
        tree(0, mode, [0.5, 0.25], [1.0, 2.0, 4.0]),
        tree(1, mode, [0.25, 2.0], [8.0, 16.0, 32.0]),
        base_values=[100.0],
    )
    applied = apply(CompactTrees(), model, x=X)
    assert applied.operators == ["TreeEnsemble"]
    assert applied.model.graph.output[0].name == "y"


def test_averages_too(apply):
    model = ensemble(
        tree(0, "BRANCH_LEQ", [0.5, 0.25], [1.0, 2.0, 4.0]),
        tree(1, "BRANCH_LEQ", [0.25, 2.0], [8.0, 16.0, 32.0]),
        aggregate_function="AVERAGE",
    )
    assert apply(CompactTrees(), model, x=X).operators == ["TreeEnsemble"]


@pytest.mark.parametrize("more", [{"post_transform": "LOGISTIC"}, {"aggregate_function": "MIN"}])
def test_what_it_cannot_write_stays(apply, more):
    model = ensemble(tree(0, "BRANCH_LEQ", [0.5, 0.25], [1.0, 2.0, 4.0]), **more)
    assert not apply(CompactTrees(), model, x=X).modified


def test_a_tree_of_one_leaf_stays(apply):
    lone = {name: value[-1:] for name, value in tree(0, "LEAF", [0.0, 0.0], [1.0, 2.0, 4.0]).items()}
    assert not apply(CompactTrees(), ensemble(lone | {"target_nodeids": [4]}), x=X).modified
