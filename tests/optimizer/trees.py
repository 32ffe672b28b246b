"""Small classifiers by trees."""

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
    node = helper.make_node(
        "TreeEnsembleClassifier",
        ["x"],
        ["label", "scores"],
        domain="ai.onnx.ml",
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
        classlabels_int64s=labels,
        **more,
    )
    x = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["batch", 2])
    label = helper.make_tensor_value_info("label", onnx.TensorProto.INT64, ["batch"])
    scores = helper.make_tensor_value_info("scores", onnx.TensorProto.FLOAT, ["batch", len(labels)])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    graph = helper.make_graph([node], "t", [x], [label, scores])
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)
