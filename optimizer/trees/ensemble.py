"""A TreeEnsembleRegressor or -Classifier node as arrays, and back."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.int64]

_DOMAIN = "ai.onnx.ml"
_KINDS = {"TreeEnsembleRegressor": "target", "TreeEnsembleClassifier": "class"}
LEAF = "LEAF"
COMPARISONS = {
    "BRANCH_LEQ": np.less_equal,
    "BRANCH_LT": np.less,
    "BRANCH_GTE": np.greater_equal,
    "BRANCH_GT": np.greater,
    "BRANCH_EQ": np.equal,
    "BRANCH_NEQ": np.not_equal,
}


@dataclass(frozen=True)
class Ensemble:
    """All nodes of all trees one after the other.

    ``true`` and ``false`` are places of a node's children, of a leaf its own. ``weights`` [nodes, scores] is
    what a leaf adds to the scores. ``tree`` [nodes] is a node's tree, ``roots`` [trees] their first nodes.
    """

    mode: npt.NDArray[np.str_]
    feature: Ints
    value: Floats
    true: Ints
    false: Ints
    missing_is_true: npt.NDArray[np.bool_]
    weights: Floats
    tree: Ints
    roots: Ints

    def leaves(self, rows: Floats) -> Ints:
        """Where each row [features] ends in each tree: [rows, trees]."""
        place = np.repeat(self.roots[np.newaxis], len(rows), axis=0)
        at = np.arange(len(rows))[:, np.newaxis]
        inner = [mode for mode in np.unique(self.mode) if mode != LEAF]
        while True:
            found, limit = rows[at, self.feature[place]], self.value[place]
            goes = np.zeros(place.shape, bool)
            for mode in inner:
                compared = COMPARISONS[mode](found, limit)
                goes |= compared if len(inner) == 1 else compared & (self.mode[place] == mode)
            goes |= np.isnan(found) & self.missing_is_true[place]
            following = np.where(goes, self.true[place], self.false[place])
            if (following == place).all():
                return place
            place = following


def tree_nodes(graph: ir.Graph) -> list[ir.Node]:
    """The graph's ensembles of which trees can be left out: those that add scores up, of float32 numbers."""
    return [
        node
        for node in graph
        if node.domain == _DOMAIN
        and node.op_type in _KINDS
        and node.attributes.get_string("aggregate_function", "SUM") in ("SUM", "AVERAGE")
        and set(node.attributes.get_strings("nodes_modes", ())) <= {*COMPARISONS, LEAF}
        and not any(name.endswith("_as_tensor") for name in node.attributes)
    ]


def read(node: ir.Node) -> Ensemble:
    """The arrays of a node; an average counts as a sum of smaller weights."""
    prefix, attributes = _KINDS[node.op_type], node.attributes
    trees, numbers = _ints(node, "nodes_treeids"), _ints(node, "nodes_nodeids")
    names, tree = np.unique(trees, return_inverse=True)
    places = _Places(tree, numbers)
    mode = np.array(attributes.get_strings("nodes_modes", ()))
    own = np.arange(len(tree))
    is_leaf = mode == LEAF
    true, false = (
        np.where(
            is_leaf, own, places.of(tree, np.where(is_leaf, numbers, _ints(node, f"nodes_{side}nodeids")))
        )
        for side in ("true", "false")
    )
    scores = _ints(node, f"{prefix}_ids")
    weights = np.zeros((len(tree), int(scores.max()) + 1))
    leaf = places.of(
        np.searchsorted(names, _ints(node, f"{prefix}_treeids")), _ints(node, f"{prefix}_nodeids")
    )
    np.add.at(weights, (leaf, scores), _floats(node, f"{prefix}_weights"))
    if attributes.get_string("aggregate_function", "SUM") == "AVERAGE":
        weights /= len(names)
    is_child = np.zeros(len(tree), bool)
    is_child[true[~is_leaf]] = is_child[false[~is_leaf]] = True
    missing = _ints(node, "nodes_missing_value_tracks_true")
    return Ensemble(
        mode=mode,
        feature=_ints(node, "nodes_featureids"),
        value=_floats(node, "nodes_values").astype(np.float32),
        true=true,
        false=false,
        missing_is_true=missing.astype(bool) if len(missing) else np.zeros(len(tree), bool),
        weights=weights,
        tree=tree,
        roots=np.flatnonzero(~is_child),
    )


class _Places:
    """Where a node of a tree is, by the numbers that the tree gives to its nodes."""

    def __init__(self, tree: Ints, numbers: Ints) -> None:
        self._span = int(numbers.max()) + 1
        keys = tree * self._span + numbers
        self._order = np.argsort(keys)
        self._sorted = keys[self._order]

    def of(self, tree: Ints, numbers: Ints) -> Ints:
        found = np.searchsorted(self._sorted, tree * self._span + numbers)
        return np.asarray(self._order[np.minimum(found, len(self._sorted) - 1)])


def write(node: ir.Node, ensemble: Ensemble, shift: Floats) -> None:
    """Let the node have this ensemble's trees, and add ``shift`` [scores] to its base values."""
    prefix, attributes = _KINDS[node.op_type], node.attributes
    is_leaf = ensemble.mode == LEAF
    first = np.zeros(int(ensemble.tree.max()) + 1, np.int64)
    first[ensemble.tree[::-1]] = np.arange(len(ensemble.tree))[::-1]
    number = np.arange(len(ensemble.tree)) - first[ensemble.tree]
    used = _ints(node, f"{prefix}_ids")
    leaf, score = np.nonzero(np.repeat(is_leaf[:, np.newaxis], ensemble.weights.shape[1], axis=1))
    counts = np.isin(score, np.unique(used))
    leaf, score = leaf[counts], score[counts]
    ints = {
        "nodes_treeids": ensemble.tree,
        "nodes_nodeids": number,
        "nodes_featureids": np.where(is_leaf, 0, ensemble.feature),
        "nodes_truenodeids": np.where(is_leaf, 0, number[ensemble.true]),
        "nodes_falsenodeids": np.where(is_leaf, 0, number[ensemble.false]),
        f"{prefix}_treeids": ensemble.tree[leaf],
        f"{prefix}_nodeids": number[leaf],
        f"{prefix}_ids": score,
    }
    if ensemble.missing_is_true.any():
        ints["nodes_missing_value_tracks_true"] = ensemble.missing_is_true.astype(np.int64)
    for name in ("nodes_hitrates", "nodes_missing_value_tracks_true", "aggregate_function"):
        attributes.pop(name, None)
    for name, array in ints.items():
        attributes.add(ir.AttrInt64s(name, array.tolist()))
    floats = {
        "nodes_values": np.where(is_leaf, 0, ensemble.value),
        f"{prefix}_weights": ensemble.weights[leaf, score],
    }
    if shift.any():
        base = base_values(node)
        floats["base_values"] = shift[np.unique(used)] if not len(base) else base + shift[: len(base)]
    for name, array in floats.items():
        attributes.add(ir.AttrFloat32s(name, array.astype(np.float32).tolist()))
    attributes.add(ir.AttrStrings("nodes_modes", ensemble.mode.tolist()))


def base_values(node: ir.Node) -> Floats:
    """What is added to the scores; none, if it is nothing."""
    return _floats(node, "base_values")


def class_labels(node: ir.Node) -> npt.NDArray[np.generic]:
    """What a classifier calls its classes: integers, or texts as objects; none of a regressor."""
    texts = node.attributes.get_strings("classlabels_strings", ())
    return np.array(texts, object) if len(texts) else _ints(node, "classlabels_int64s")


def _ints(node: ir.Node, name: str) -> Ints:
    return np.array(node.attributes.get_ints(name, ()), np.int64)


def _floats(node: ir.Node, name: str) -> Floats:
    return np.array(node.attributes.get_floats(name, ()), np.float64)
