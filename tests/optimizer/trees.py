"""Small classifiers by trees."""

import numpy as np
import onnx
from onnx import helper


def stumps(weights, labels, **more):
    """A tree of one split for each row [left leaf [classes], right leaf [classes]] of the weights."""
    entries = [
        (tree, side + 1, score, weight)
        for tree, leaves in enumerate(weights)
        for side, leaf in enumerate(leaves)
        for score, weight in enumerate(leaf)
    ]
    trees = range(len(weights))
    return classifier(
        labels,
        2,
        nodes_treeids=[tree for tree in trees for _ in range(3)],
        nodes_nodeids=[0, 1, 2] * len(weights),
        nodes_featureids=[number for tree in trees for number in (tree % 2, 0, 0)],
        nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"] * len(weights),
        nodes_values=[0.5, 0.0, 0.0] * len(weights),
        nodes_truenodeids=[1, 0, 0] * len(weights),
        nodes_falsenodeids=[2, 0, 0] * len(weights),
        class_treeids=[entry[0] for entry in entries],
        class_nodeids=[entry[1] for entry in entries],
        class_ids=[entry[2] for entry in entries],
        class_weights=[entry[3] for entry in entries],
        **more,
    )


def by_chance(dice, features):
    """Trees of any shape, their leaves for one class each or for several, of few weights and splits."""
    labels = dice.permutation(9)[: dice.integers(2, 6)].tolist()
    scores = 1 if len(labels) == 2 else len(labels)
    kind = dice.choice(["pure", "mixed", "no zeros"])
    mode = str(dice.choice(["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT"]))
    nodes = []  # tree, node, feature, mode, value, true, false, missing
    leaves = []  # tree, node, class, weight
    for tree in range(dice.integers(1, 9)):
        count, waiting = 1, [0]
        while waiting:
            node = waiting.pop(dice.integers(len(waiting)))
            if node == 0 or dice.random() < 0.4:
                value = float(dice.choice([-0.5, 0.0, 0.5]))
                split = (dice.integers(features), mode, value, count, count + 1, dice.integers(2))
                nodes.append((tree, node, *split))
                waiting += [count, count + 1]
                count += 2
                continue
            nodes.append((tree, node, 0, "LEAF", 0.0, 0, 0, 0))
            sole = dice.integers(scores)
            for score in range(scores):
                weight = float(dice.choice([0.0, 0.1, 0.3]) if kind == "mixed" else dice.choice([0.1, 0.3]))
                if score == sole or kind != "no zeros":
                    leaves.append((tree, node, score, 0.0 if kind == "pure" and score != sole else weight))
    tree, node, feature, modes, value, true, false, missing = zip(*sorted(nodes), strict=True)
    of_trees, of_nodes, ids, weights = zip(*leaves, strict=True)
    return classifier(
        labels,
        features,
        nodes_treeids=tree,
        nodes_nodeids=node,
        nodes_featureids=feature,
        nodes_modes=modes,
        nodes_values=value,
        nodes_truenodeids=true,
        nodes_falsenodeids=false,
        nodes_missing_value_tracks_true=missing,
        class_treeids=of_trees,
        class_nodeids=of_nodes,
        class_ids=ids,
        class_weights=weights,
    )


def classifier(labels, features, **attributes):
    """A graph of one node."""
    plain = {
        name: [one.item() if isinstance(one, np.generic) else one for one in value]
        if isinstance(value, list | tuple)
        else value
        for name, value in attributes.items()
    }
    node = helper.make_node(
        "TreeEnsembleClassifier",
        ["x"],
        ["label", "scores"],
        domain="ai.onnx.ml",
        classlabels_int64s=labels,
        **plain,
    )
    x = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["batch", features])
    label = helper.make_tensor_value_info("label", onnx.TensorProto.INT64, ["batch"])
    scores = helper.make_tensor_value_info("scores", onnx.TensorProto.FLOAT, ["batch", len(labels)])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    graph = helper.make_graph([node], "t", [x], [label, scores])
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)
