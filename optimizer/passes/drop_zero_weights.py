"""What the leaves of a forest say of the classes that they have not seen."""

import numpy as np
import onnx_ir as ir

from optimizer.trees.ensemble import class_labels

_DOMAIN = "ai.onnx.ml"
_COLUMNS = ("class_ids", "class_nodeids", "class_treeids")
_WEIGHTS = "class_weights"
_FEWEST_CLASSES = 3


class DropZeroWeights(ir.passes.InPlacePass):
    """Remove the weights of zero of classifiers by trees: of a forest's pure leaves all but one each.

    1. There are three classes or more: of two, ONNX Runtime asks whether a leaf mentions the second at all.
    2. No weight is negative, and each leaf has a positive one: no class that is not mentioned is the largest.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Look at every ensemble."""
        modified = False
        for node in model.graph:
            if node.domain == _DOMAIN and node.op_type == "TreeEnsembleClassifier":
                modified |= _drop(node)
        return ir.passes.PassResult(model, modified)


def _drop(node: ir.Node) -> bool:
    weights = np.array(node.attributes.get_floats(_WEIGHTS, ()), np.float32)
    columns = {name: np.array(node.attributes.get_ints(name, ()), np.int64) for name in _COLUMNS}
    kept = weights > 0
    if len(class_labels(node)) < _FEWEST_CLASSES or kept.all() or not (weights >= 0).all():
        return False
    leaves = np.stack([columns["class_treeids"], columns["class_nodeids"]], axis=1)
    if len(np.unique(leaves[kept], axis=0)) < len(np.unique(leaves, axis=0)):
        return False
    for name, column in columns.items():
        node.attributes.add(ir.AttrInt64s(name, column[kept].tolist()))
    node.attributes.add(ir.AttrFloat32s(_WEIGHTS, weights[kept].tolist()))
    return True
