"""Ensembles of trees as opset 5 of ai.onnx.ml writes them, in a third of the bytes or less."""

from dataclasses import replace

import numpy as np
import onnx_ir as ir

from optimizer.passes._graph import Array, initializer, insert, present
from optimizer.trees.ensemble import (
    COMPARISONS,
    LEAF,
    Ensemble,
    Floats,
    Ints,
    base_values,
    class_labels,
    read,
    tree_nodes,
)

_DOMAIN, _OPSET = "ai.onnx.ml", 5
_SUM, _NO_TRANSFORM = 1, 0
_REGRESSOR = "TreeEnsembleRegressor"
_TWO = 2


class CompactTrees(ir.passes.InPlacePass):
    """Replace older operators by TreeEnsemble: no rows for leaves, no names for modes, equal leaves once.

    1. All ensembles of the graph fit: the older operators are none of that opset.
    2. They read float32 and have no transform, and no tree is a single leaf.
    3. A regressor gives one score. Its base value goes into the leaves of the first tree.
    4. A classifier, if asked for, has no base values and no negative weights, and each leaf votes for one
       class: of three or more with a positive weight, of two for the second; the first then has what is left
       of 1. The label is the argmax of these scores, by operators that take some tenths of a microsecond.
    """

    def __init__(self, *, classifiers: bool = False) -> None:
        super().__init__()
        self._classifiers = classifiers

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Replace all, or none."""
        every = [node for node in model.graph if node.domain == _DOMAIN and "TreeEnsemble" in node.op_type]
        nodes = [node for node in tree_nodes(model.graph) if self._is_plain(node)]
        if not nodes or len(nodes) < len(every):
            return ir.passes.PassResult(model, modified=False)
        found = [(node, read(node)) for node in nodes]
        if not all(_fits(node, ensemble) for node, ensemble in found):
            return ir.passes.PassResult(model, modified=False)
        for node, ensemble in found:
            _write(node, ensemble)
        model.graph.opset_imports[_DOMAIN] = max(_OPSET, model.graph.opset_imports.get(_DOMAIN, 1))
        return ir.passes.PassResult(model, modified=True)

    def _is_plain(self, node: ir.Node) -> bool:
        data = node.inputs[0]
        return (
            (self._classifiers or node.op_type == _REGRESSOR)
            and data is not None
            and data.dtype == ir.DataType.FLOAT
            and node.attributes.get_string("post_transform", "NONE") == "NONE"
        )


def _fits(node: ir.Node, ensemble: Ensemble) -> bool:
    if (ensemble.mode[ensemble.roots] == LEAF).any():
        return False
    weights = ensemble.weights[ensemble.mode == LEAF]
    if node.op_type == _REGRESSOR:
        return bool(weights.shape[1] == 1) and node.attributes.get_int("n_targets", 1) == 1
    if len(base_values(node)) or not (weights >= 0).all():
        return False
    classes = len(class_labels(node))
    if classes == _TWO:
        return bool(weights.shape[1] == 1)
    return classes > _TWO and bool((np.count_nonzero(weights, axis=1) == 1).all())


def _write(node: ir.Node, ensemble: Ensemble) -> None:
    labels = class_labels(node)
    if node.op_type == _REGRESSOR:
        weights = ensemble.weights.copy()
        weights[ensemble.tree == ensemble.tree[ensemble.roots[0]]] += base_values(node).sum()
        ensemble = replace(ensemble, weights=weights)
    new = ir.Node(
        _DOMAIN,
        "TreeEnsemble",
        node.inputs,
        _attributes(ensemble, len(labels) if len(labels) > _TWO else 1),
        outputs=[ir.Value(type=ir.TensorType(ir.DataType.FLOAT))],
        name=node.name,
    )
    graph, score = present(node.graph), new.outputs[0]
    graph.insert_before(node, new)
    answers = [score] if node.op_type == _REGRESSOR else _classified(node, score)
    for old, given in zip(node.outputs, answers, strict=False):
        given.type, given.shape, name = old.type, old.shape, old.name
        old.replace_all_uses_with(given, replace_graph_outputs=True)
        old.name, given.name = None, name
    graph.remove(node, safe=True)


def _classified(node: ir.Node, scores: ir.Value) -> list[ir.Value]:
    """The label and the scores of all classes."""
    graph, labels = present(node.graph), class_labels(node)
    if len(labels) == _TWO:
        rest = insert(node, "Sub", [initializer(graph, "one", np.array(1, np.float32)), scores])
        scores = insert(node, "Concat", [rest.outputs[0], scores], {"axis": 1}).outputs[0]
    label = insert(node, "ArgMax", [scores], {"axis": 1, "keepdims": 0}).outputs[0]
    if labels.tolist() != list(range(len(labels))):
        label = insert(node, "Gather", [initializer(graph, "labels", labels), label]).outputs[0]
    return [label, scores]


def _attributes(ensemble: Ensemble, targets: int) -> list[ir.Attr]:
    """``targets``: how many scores there are."""
    is_leaf = ensemble.mode == LEAF
    place = np.cumsum(~is_leaf) - 1
    place[is_leaf], target, weight = _leaves(ensemble)
    inner = replace(
        ensemble,
        **{
            name: getattr(ensemble, name)[~is_leaf]
            for name in ("mode", "feature", "value", "true", "false", "missing_is_true")
        },
    )
    modes = list(COMPARISONS)
    ints = {
        "tree_roots": place[ensemble.roots],
        "nodes_featureids": inner.feature,
        "nodes_truenodeids": place[inner.true],
        "nodes_trueleafs": is_leaf[inner.true],
        "nodes_falsenodeids": place[inner.false],
        "nodes_falseleafs": is_leaf[inner.false],
        "leaf_targetids": target,
    }
    if inner.missing_is_true.any():
        ints["nodes_missing_value_tracks_true"] = inner.missing_is_true
    tensors: dict[str, Array] = {
        "nodes_splits": inner.value.astype(np.float32),
        "nodes_modes": np.array([modes.index(mode) for mode in inner.mode], np.uint8),
        "leaf_weights": weight.astype(np.float32),
    }
    numbers = {"n_targets": targets, "aggregate_function": _SUM, "post_transform": _NO_TRANSFORM}
    return [
        *(ir.AttrInt64s(name, array.astype(np.int64).tolist()) for name, array in ints.items()),
        *(ir.AttrTensor(name, ir.tensor(array)) for name, array in tensors.items()),
        *(ir.AttrInt64(name, number) for name, number in numbers.items()),
    ]


def _leaves(ensemble: Ensemble) -> tuple[Ints, Ints, Floats]:
    """Which of the different leaves each leaf is; the targets and weights of these.

    Those on the two sides of a root are never the same one: ONNX Runtime would take the root for a leaf.
    """
    is_leaf = ensemble.mode == LEAF
    target = np.argmax(ensemble.weights[is_leaf], axis=1)
    weight = ensemble.weights[is_leaf, target]
    is_second = np.isin(np.flatnonzero(is_leaf), ensemble.false[ensemble.roots])
    keys = np.stack([target, weight, is_second], axis=1)
    different, place = np.unique(keys, axis=0, return_inverse=True)
    return place.reshape(-1), different[:, 0].astype(np.int64), different[:, 1]
