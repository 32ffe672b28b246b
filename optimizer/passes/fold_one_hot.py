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
    split_constant,
    weights,
)


class FoldOneHot(ir.passes.InPlacePass):
    """Replace one-hot vectors and the MatMul by a constant matrix that follows them by a Gather of its rows.

    1. OneHot along the last axis, of int64 indices, with a constant depth and constant values, of which the
       one for off is 0; other readers of it keep it.
    2. OneHot counts negative indices from the end, and makes zeros of an index out of range: so the table is
       [0, rows, rows, 0], and indices are moved by depth + 1 and clipped.
    3. Or Equal of integers, whose last axis is 1 before they are expanded, with 0, 1, ... along the last
       axis, cast to floats: this makes zeros of a negative index, too.
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
                rows = (weight * on).astype(weight.dtype)
                _look_up(product, present(one_hot.inputs[0]), np.concatenate([rows, rows]), len(rows))
                modified = True
            elif (compared := _compared(one_hot, len(weight))) is not None:
                indices = _without_last_axis(product, compared)
                indices.dtype = present(compared.dtype)
                _look_up(product, indices, weight, 0)
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


def _compared(cast: ir.Node, depth: int) -> ir.Value | None:
    """The integers that are compared with 0, 1, ..., if rule 3 holds."""
    equal = present(cast.inputs[0]).producer() if (cast.op_type, cast.domain) == ("Cast", "") else None
    if equal is None or (equal.op_type, equal.domain) != ("Equal", "") or cast.attributes["to"].value != 1:
        return None
    parts = split_constant(equal)
    if parts is None or parts[1].shape[-1:] != (depth,) or parts[1].size != depth:
        return None
    value, numbers = parts
    expand = value.producer()
    first = expand.inputs[0] if expand is not None and expand.op_type == "Expand" else value
    is_column = first is not None and first.shape is not None and first.shape.rank() and first.shape[-1] == 1
    ranks = numbers.ndim <= (value.shape.rank() if value.shape is not None else 0)
    integers = value.dtype in (ir.DataType.INT32, ir.DataType.INT64)
    return (
        value if is_column and ranks and integers and np.array_equal(numbers.ravel(), range(depth)) else None
    )


def _without_last_axis(before: ir.Node, value: ir.Value) -> ir.Value:
    """A value that is the same along its last axis: one of each."""
    graph, expand = present(before.graph), value.producer()
    numbers = [initializer(graph, f"one_hot_{n}", np.array([n])) for n in (0, -1)]
    if expand is None or expand.op_type != "Expand":
        return insert(before, "Squeeze", [value, numbers[1]]).outputs[0]
    narrow = insert(before, "Squeeze", [expand.inputs[0], numbers[1]]).outputs[0]
    shape = insert(before, "Slice", [expand.inputs[1], *numbers]).outputs[0]
    return insert(before, "Expand", [narrow, shape]).outputs[0]


def _look_up(product: ir.Node, indices: ir.Value, rows: Floats, first: int) -> None:
    """Read the row that stands ``first`` places after the index, or zeros where there is none."""
    graph = present(product.graph)
    zero = np.zeros((1, rows.shape[1]), rows.dtype)
    table = initializer(graph, "one_hot_rows", np.concatenate([zero, rows, zero]))
    dtype = present(indices.dtype).numpy()
    numbers = [np.array(number, dtype) for number in (first + 1, 0, len(rows) + 1)]
    places = [initializer(graph, f"one_hot_{number}", number) for number in numbers]
    moved = insert(product, "Add", [indices, places[0]]).outputs[0]
    clipped = insert(product, "Clip", [moved, *places[1:]]).outputs[0]
    bypass(product, insert(product, "Gather", [table, clipped], {"axis": 0}).outputs[0])
