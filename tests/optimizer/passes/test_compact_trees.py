import numpy as np
import onnx
import pytest
from onnx import helper

from optimizer.normalise import apply_passes
from optimizer.passes import CompactTrees, DropHitRates, DropZeroWeights
from tests.optimizer.trees import by_chance, stumps

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


THREE = [[[0, 0.5, 0], [0.25, 0, 0]], [[0, 0, 0.5], [0, 0.5, 0]]]


@pytest.mark.parametrize(
    ("labels", "operators"),
    [([0, 1, 2], ["TreeEnsemble", "ArgMax"]), ([3, 1, 2], ["TreeEnsemble", "ArgMax", "Gather"])],
)
def test_the_label_of_a_classifier_is_that_of_the_largest_score(apply, labels, operators):
    applied = apply(CompactTrees(classifiers=True), stumps(THREE, labels), x=X)
    assert applied.operators == operators
    assert [one.name for one in applied.model.graph.output] == ["label", "scores"]


def test_leaves_that_are_equal_are_written_once_but_those_below_a_root(apply):
    same = [[[0, 0.5, 0], [0, 0.5, 0]]] * 3  # for a root whose two leaves are one, ONNX Runtime sees a leaf
    applied = apply(CompactTrees(classifiers=True), stumps(same, [0, 1, 2]), x=X)
    leaves = {one.name: one for one in applied.model.graph.node[0].attribute}["leaf_targetids"].ints
    assert list(leaves) == [1, 1]


def test_the_first_of_two_classes_has_the_rest_and_wins_where_they_are_equal(apply, answers):
    model = stumps([[[0.5], [0.0]], [[0.25], [0.0]], [[0.0], [0.25]]], [7, 5])
    applied = apply(CompactTrees(classifiers=True), model, x=X)
    assert applied.operators == ["TreeEnsemble", "Sub", "Concat", "ArgMax", "Gather"]
    for before, after in zip(answers(model, {"x": X}), answers(applied.model, {"x": X}), strict=True):
        np.testing.assert_array_equal(after, before)
    assert 0.5 in answers(applied.model, {"x": X})[1]


@pytest.mark.parametrize(
    "model",
    [
        stumps([[[0.25, 0.5, 0], [0.25, 0, 0]]], [0, 1, 2]),  # a leaf of two classes
        stumps([[[0, -0.5, 0], [0.25, 0, 0]]], [0, 1, 2]),
        stumps([[[0, 0, 0], [0.25, 0, 0]]], [0, 1, 2]),
        stumps([[[0.5, 0], [0, 0.5]]], [0, 1]),  # the second class is another score than the first's rest
        stumps(THREE, [0, 1, 2], base_values=[0.5, 0.0, 0.0]),
        stumps(THREE, [0, 1, 2], post_transform="SOFTMAX"),
    ],
)
def test_classifiers_that_it_does_not_understand_stay(apply, model):
    assert not apply(CompactTrees(classifiers=True), model, x=X).modified


def test_classifiers_that_nobody_asked_for_stay(apply):
    assert not apply(CompactTrees(), stumps(THREE, [0, 1, 2]), x=X).modified


def test_classifiers_by_chance_answer_the_same_to_the_bit(answers):
    """Equal scores, rows that no class gets anything for, missing values: as ONNX Runtime has them."""
    steps = [DropHitRates(), DropZeroWeights(), CompactTrees(classifiers=True)]
    changed_by = {"DropZeroWeights": 0, "CompactTrees": 0}
    for seed in range(300):
        dice = np.random.default_rng(seed)
        model = by_chance(dice, 3)
        x = dice.choice(np.float32([-0.5, 0.0, 0.25, 0.5, 1.0, np.nan]), (40, 3))
        data, applied = apply_passes(model.SerializeToString(), steps)
        for one in applied:
            changed_by[one.name] = changed_by.get(one.name, 0) + 1
        after = answers(onnx.load_model_from_string(data), {"x": x})
        for before, now in zip(answers(model, {"x": x}), after, strict=True):
            np.testing.assert_array_equal(now, before, err_msg=f"seed {seed}")
    assert min(changed_by["DropZeroWeights"], changed_by["CompactTrees"]) > 30


def test_numbers_of_another_type_stay(apply):
    model = ensemble(tree(0, "BRANCH_LEQ", [0.5, 0.25], [1.0, 2.0, 4.0]))
    node = model.graph.node[0]
    weights = next(one for one in node.attribute if one.name == "target_weights")
    array = np.array(weights.floats)
    node.attribute.remove(weights)
    tensor = onnx.numpy_helper.from_array(array)
    node.attribute.append(helper.make_attribute("target_weights_as_tensor", tensor))
    assert not apply(CompactTrees(), model).modified
