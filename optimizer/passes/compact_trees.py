"""Ensembles of trees as opset 5 of ai.onnx.ml writes them, in a third of the bytes."""

from dataclasses import replace

import numpy as np
import onnx_ir as ir

from optimizer.passes._graph import present
from optimizer.trees.ensemble import COMPARISONS, LEAF, Ensemble, base_values, read, tree_nodes

_DOMAIN, _OPSET = "ai.onnx.ml", 5
_SUM, _NO_TRANSFORM = 1, 0


class CompactTrees(ir.passes.InPlacePass):
    """Replace TreeEnsembleRegressor by TreeEnsemble, with no rows for leaves and no names of comparisons.

    1. All ensembles of the graph are regressors of one float32 score, without a transform: the older
       operators are none of that opset.
    2. No tree is a single leaf.

    Base values go into the leaves of the first tree.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Replace all, or none."""
        every = [node for node in model.graph if node.domain == _DOMAIN and "TreeEnsemble" in node.op_type]
        found = [(node, read(node)) for node in tree_nodes(model.graph) if _is_plain(node)]
        whole = len(found) == len(every) and all(_fits(ensemble) for _, ensemble in found)
        if not found or not whole:
            return ir.passes.PassResult(model, modified=False)
        for node, ensemble in found:
            _write(node, ensemble)
        model.graph.opset_imports[_DOMAIN] = max(_OPSET, model.graph.opset_imports.get(_DOMAIN, 1))
        return ir.passes.PassResult(model, modified=True)


def _is_plain(node: ir.Node) -> bool:
    data = node.inputs[0]
    return (
        node.op_type == "TreeEnsembleRegressor"
        and data is not None
        and data.dtype == ir.DataType.FLOAT
        and node.attributes.get_string("post_transform", "NONE") == "NONE"
        and node.attributes.get_int("n_targets", 1) == 1
    )


def _fits(ensemble: Ensemble) -> bool:
    return ensemble.weights.shape[1] == 1 and not (ensemble.mode[ensemble.roots] == LEAF).any()


def _write(node: ir.Node, ensemble: Ensemble) -> None:
    is_leaf = ensemble.mode == LEAF
    place = np.where(is_leaf, np.cumsum(is_leaf), np.cumsum(~is_leaf)) - 1
    weights = ensemble.weights[:, 0].copy()
    weights[ensemble.tree == ensemble.tree[ensemble.roots[0]]] += base_values(node).sum()
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
        "leaf_targetids": np.zeros(int(is_leaf.sum())),
    }
    if inner.missing_is_true.any():
        ints["nodes_missing_value_tracks_true"] = inner.missing_is_true
    tensors = {
        "nodes_splits": inner.value.astype(np.float32),
        "nodes_modes": np.array([modes.index(mode) for mode in inner.mode], np.uint8),
        "leaf_weights": weights[is_leaf].astype(np.float32),
    }
    numbers = {"n_targets": 1, "aggregate_function": _SUM, "post_transform": _NO_TRANSFORM}
    attributes = [
        *(ir.AttrInt64s(name, array.astype(np.int64).tolist()) for name, array in ints.items()),
        *(ir.AttrTensor(name, ir.tensor(array)) for name, array in tensors.items()),
        *(ir.AttrInt64(name, number) for name, number in numbers.items()),
    ]
    new = ir.Node(_DOMAIN, "TreeEnsemble", node.inputs, attributes, outputs=[ir.Value()], name=node.name)
    graph = present(node.graph)
    graph.insert_before(node, new)
    old, given = node.outputs[0], new.outputs[0]
    given.type, given.shape, name = old.type, old.shape, old.name
    old.replace_all_uses_with(given, replace_graph_outputs=True)
    graph.remove(node, safe=True)
    given.name = name
