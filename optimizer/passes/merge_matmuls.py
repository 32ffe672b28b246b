"""Parallel MatMuls over one input (query, key and value) into a single wide one."""

import numpy as np
import onnx_ir as ir

from optimizer.passes._graph import (
    Array,
    bypass,
    constant,
    initializer,
    insert,
    nodes,
    present,
    sole_user,
    split_constant,
)


class MergeMatMuls(ir.passes.InPlacePass):
    """Merge MatMuls of one input by constant matrices into one MatMul and a Split.

    1. All read the same value, have constant float32 matrices of the same number of rows, and are
       followed by nothing, or each by an Add of a constant [columns] that nobody else precedes: then the Adds
       are merged as well.
    2. At least two; their outputs may be read by anybody.
    3. The merged node stands where the first stood; the order of the Split is the order of the graph.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Merge group by group."""
        groups: dict[tuple[ir.Value, int, bool], list[ir.Node]] = {}
        for node in nodes(model.graph, "MatMul"):
            weight = constant(node.inputs[1])
            if node.inputs[0] is not None and weight is not None and _is_matrix(weight):
                key = (node.inputs[0], weight.shape[0], _bias_add(node) is not None)
                groups.setdefault(key, []).append(node)
        parallel = [group for group in groups.values() if len(group) > 1]
        for group in parallel:
            _merge(model.graph, group)
        return ir.passes.PassResult(model, modified=bool(parallel))


def _is_matrix(weight: Array) -> bool:
    return weight.ndim == 2 and weight.dtype == np.float32


def _bias_add(matmul: ir.Node) -> ir.Node | None:
    """The Add of a constant [columns] after it, else None."""
    add = sole_user(matmul.outputs[0])
    parts = split_constant(add) if add is not None and add.op_type == "Add" and add.domain == "" else None
    weight = present(constant(matmul.inputs[1]))
    fits = parts is not None and parts[1].shape == (weight.shape[1],) and parts[1].dtype == np.float32
    return add if fits and add is not None and add.graph is matmul.graph else None


def _merge(graph: ir.Graph, group: list[ir.Node]) -> None:
    weights = [constant(node.inputs[1]) for node in group]
    matrix = np.concatenate([w for w in weights if w is not None], axis=1)
    first = group[0]
    value = insert(
        first, "MatMul", [first.inputs[0], initializer(graph, f"{first.outputs[0].name}_merged", matrix)]
    ).outputs[0]
    ends = [_bias_add(node) for node in group]
    adds = [add for add in ends if add is not None]
    if adds:
        parts = [split_constant(add) for add in adds]
        bias = initializer(graph, f"{first.outputs[0].name}_bias", np.concatenate([p[1] for p in parts if p]))
        value = insert(first, "Add", [value, bias]).outputs[0]
    lengths = np.array([w.shape[1] for w in weights if w is not None], np.int64)
    sizes = initializer(graph, f"{first.outputs[0].name}_split", lengths)
    split = insert(first, "Split", [value, sizes], {"axis": -1}, outputs=len(group))
    for node, piece in zip(adds or group, split.outputs, strict=True):
        bypass(node, piece)
    if adds:
        graph.remove(group, safe=True)
