"""A product with one-hot vectors is a look-up."""

import numpy as np
import onnx_ir as ir

from optimizer.passes._graph import (
    Floats,
    bypass,
    constant,
    initializer,
    insert,
    nodes,
    present,
    scalar,
    weights,
)


class FoldOneHot(ir.passes.InPlacePass):
    """Replace OneHot and the MatMul by a constant matrix that follows it by a Gather of the matrix's rows.

    1. OneHot along the last axis, of int64 indices, with a constant depth and constant values, of which the
       one for off is 0; other readers of it keep it.
    2. OneHot counts negative indices from the end, and makes zeros of an index out of range: so the table is
       [0, rows, rows, 0], and indices are moved by depth + 1 and clipped.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Replace all that are found."""
        modified = False
        for product in nodes(model.graph, "MatMul"):
            one_hot = product.inputs[0].producer() if product.inputs[0] is not None else None
            weight = weights(product.inputs[1])
            if one_hot is None or weight is None or weight.ndim != 2:
                continue
            on = _on_value(one_hot, len(weight))
            if on is not None:
                _look_up(product, present(one_hot.inputs[0]), (weight * on).astype(weight.dtype))
                modified = True
        return ir.passes.PassResult(model, modified)


def _on_value(node: ir.Node, depth: int) -> float | None:
    """What stands for one, if rule 1 holds."""
    if (node.op_type, node.domain) != ("OneHot", "") or node.attributes.get_int("axis", -1) != -1:
        return None
    values, indices = constant(node.inputs[2]), node.inputs[0]
    if values is None or values.size != 2 or scalar(node.inputs[1]) != depth or indices is None:
        return None
    off, on = (float(value) for value in values.reshape(-1))
    return on if off == 0 and indices.dtype == ir.DataType.INT64 else None


def _look_up(product: ir.Node, indices: ir.Value, rows: Floats) -> None:
    graph = present(product.graph)
    zero = np.zeros((1, rows.shape[1]), rows.dtype)
    table = initializer(graph, "one_hot_rows", np.concatenate([zero, rows, rows, zero]))
    places = [initializer(graph, f"one_hot_{n}", np.array(n)) for n in (len(rows) + 1, 0, 2 * len(rows) + 1)]
    moved = insert(product, "Add", [indices, places[0]]).outputs[0]
    clipped = insert(product, "Clip", [moved, *places[1:]]).outputs[0]
    bypass(product, insert(product, "Gather", [table, clipped], {"axis": 0}).outputs[0])
