"""Fewer trees: what a graph answers with some of them, and that the search takes them where they pay."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from bundle.folder import read
from coldpress.optimize import main
from optimizer.runtime import optimised_session
from optimizer.trees.graph import Trees, trees_in

FEATURES = 6


def forest(dice, trees, depth, classes=0, pure=False):
    """A random forest's graph: full trees of random splits, leaves of a smooth function of the path.

    ``pure``: each leaf is for one class alone, by chance.
    """
    prefix = "class" if classes else "target"
    columns = {key: [] for key in ("treeids", "nodeids", "featureids", "values", "modes", "true", "false")}
    weights = {key: [] for key in ("treeids", "nodeids", "ids", "weights")}
    for tree in range(trees):
        for node in range(2 ** (depth + 1) - 1):
            is_leaf = node >= 2**depth - 1
            columns["treeids"].append(tree)
            columns["nodeids"].append(node)
            columns["featureids"].append(0 if is_leaf else int(dice.integers(FEATURES)))
            columns["values"].append(0.0 if is_leaf else float(dice.normal()))
            columns["modes"].append("LEAF" if is_leaf else "BRANCH_LEQ")
            columns["true"].append(0 if is_leaf else 2 * node + 1)
            columns["false"].append(0 if is_leaf else 2 * node + 2)
            if is_leaf:
                side = (node + 1).bit_count() / (depth + 1)
                parts = [side, 1 - side] if classes else [side + 0.1 * dice.normal()]
                if pure:
                    parts = np.eye(classes)[dice.integers(classes)].tolist()
                for score, weight in enumerate(parts):
                    weights["treeids"].append(tree)
                    weights["nodeids"].append(node)
                    weights["ids"].append(score)
                    weights["weights"].append(weight / trees)
    attributes = {
        "nodes_treeids": columns["treeids"],
        "nodes_nodeids": columns["nodeids"],
        "nodes_featureids": columns["featureids"],
        "nodes_values": columns["values"],
        "nodes_modes": columns["modes"],
        "nodes_truenodeids": columns["true"],
        "nodes_falsenodeids": columns["false"],
        "nodes_hitrates": [1.0] * len(columns["values"]),
        **{f"{prefix}_{key}": value for key, value in weights.items()},
    }
    x = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["batch", FEATURES])
    y = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["batch", classes or 1])
    if classes:
        label = helper.make_tensor_value_info("label", onnx.TensorProto.INT64, ["batch"])
        node = helper.make_node(
            "TreeEnsembleClassifier", ["x"], ["label", "y"], domain="ai.onnx.ml", **attributes
        )
        node.attribute.append(helper.make_attribute("classlabels_int64s", list(range(classes))))
    else:
        label = None
        node = helper.make_node("TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", **attributes)
        node.attribute.append(helper.make_attribute("n_targets", 1))
    graph = helper.make_graph([node], "forest", [x], [y, label] if label is not None else [y])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def answered(data, x):
    return optimised_session(data).run(None, {"x": x})


@pytest.fixture
def rows(rng):
    return rng.normal(size=(600, FEATURES)).astype(np.float32)


@pytest.mark.parametrize("classes", [0, 2])
def test_all_trees_answer_as_before_and_some_of_them_nearly(rng, rows, classes):
    data = forest(rng, 40, 5, classes=classes).SerializeToString()
    trees = Trees(data, [{"x": row[np.newaxis]} for row in rows[:300]], 0)
    assert trees.count == 40
    before = answered(data, rows[300:])
    same = answered(trees.with_share(1.0), rows[300:])
    np.testing.assert_allclose(same[0], before[0], atol=0.02)
    some = trees.with_share(0.5)
    assert trees_in(some) == 20
    assert len(some) < 0.6 * len(data)
    after = answered(some, rows[300:])
    error = np.abs(after[0] - before[0]).mean()
    assert error < 0.5 * np.abs(before[0] - before[0].mean(axis=0)).mean()
    if classes:
        np.testing.assert_allclose(after[0].sum(axis=1), 1, atol=1e-4)
        assert (after[1] == before[1]).mean() > 0.85


def test_missing_values_go_where_they_went(rng, rows):
    model = forest(rng, 10, 4)
    ways = rng.integers(0, 2, len(model.graph.node[0].attribute[0].ints)).tolist()
    model.graph.node[0].attribute.append(helper.make_attribute("nodes_missing_value_tracks_true", ways))
    data = model.SerializeToString()
    rows[::3, 2] = np.nan
    trees = Trees(data, [{"x": rows[:300]}], 0)
    np.testing.assert_allclose(answered(trees.with_share(1.0), rows)[0], answered(data, rows)[0], atol=0.03)


@pytest.fixture
def press(tmp_path, capsys):
    def call(model, rows, *more):
        onnx.save(model, tmp_path / "forest.onnx")
        for name, part in (("c", rows[: len(rows) // 2]), ("e", rows[len(rows) // 2 :])):
            (tmp_path / name).mkdir(exist_ok=True)
            for number in range(len(part)):
                np.savez(tmp_path / name / f"{number:04}.npz", x=part[number])
        words = [
            str(tmp_path / "forest.onnx"),
            "--calibration",
            str(tmp_path / "c"),
            "--evaluation",
            str(tmp_path / "e"),
        ]
        status = main(
            [*words, "-o", str(tmp_path / "out"), "--measurements", str(tmp_path / "m"), "--json", *more]
        )
        captured = capsys.readouterr()
        assert status == 0, captured.err
        return json.loads(captured.out)

    return call


@pytest.mark.slow
def test_a_forest_is_pressed_to_fewer_trees_where_requests_are_of_many_rows(rng, press):
    batches = rng.normal(size=(80, 100, FEATURES)).astype(np.float32)
    found = press(forest(rng, 200, 8), batches, "--metric", "cosine", "--max-drop", "0.01")
    assert "FewerTrees" in found["passes"]
    manifest = read(Path(found["bundle"]))
    assert manifest.metric.drop <= 0.01
    (applied,) = [one for one in manifest.passes if one.name == "FewerTrees"]
    assert applied.parameters["trees"] < applied.parameters["of"] == 200


def test_a_few_small_trees_stay_as_they_are(rng, press):
    rows = rng.normal(size=(80, 1, FEATURES)).astype(np.float32)
    found = press(forest(rng, 10, 2), rows, "--max-drop", "0.01")
    assert "FewerTrees" not in found["passes"]


def test_leaves_of_one_class_are_written_compactly(rng, press):
    batches = rng.normal(size=(40, 100, FEATURES)).astype(np.float32)
    found = press(
        forest(rng, 100, 7, classes=3, pure=True), batches, "--objective", "size", "--max-drop", "0"
    )
    assert found["passes"][-1] == "CompactTrees"
    assert "DropZeroWeights" in found["passes"]
    assert found["drop"] == 0
    assert found["size_after"] < 0.2 * found["size_before"]
