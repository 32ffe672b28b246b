"""A float graph out of one that was quantised before it came here."""

import numpy as np
import onnx_ir as ir

from optimizer.passes._graph import Array, bypass, constant, initializer, nodes, present, replace

# They move values, or pick some: of rounded values as of others.
_MOVING = {"Flatten", "Identity", "MaxPool", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"}


class RemoveRounding(ir.passes.InPlacePass):
    """Take away the rounding of a model that was trained with fake quantisation, or is in int8 already.

    Its weights keep the values that they were rounded to. Layers are then treated like any others, and may
    come out faster; the metric says whether the answers bear it.

    1. QuantizeLinear goes together with each DequantizeLinear that reads it, straight or by way of operators
       that only move values, if scale and zero point are the same.
    2. Where another operator, or the graph's output, takes the rounded values, all stays.
    3. DequantizeLinear of constants becomes the constant in float.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Activations, then weights."""
        removed = [_remove(node) for node in nodes(model.graph, "QuantizeLinear")]
        stored = [_in_float(node) for node in nodes(model.graph, "DequantizeLinear")]
        return ir.passes.PassResult(model, modified=any(removed) or any(stored))


def _remove(node: ir.Node) -> bool:
    ends: list[ir.Node] = []
    moved: list[ir.Value] = []
    found = [node.outputs[0]]
    while found:
        value = found.pop()
        if value.is_graph_output():
            return False
        for use in value.uses():
            if use.node.op_type == "DequantizeLinear" and use.idx == 0 and _same_steps(node, use.node):
                ends.append(use.node)
            elif use.node.op_type in _MOVING and use.idx == 0 and not use.node.domain:
                moved += use.node.outputs
                found += use.node.outputs
            else:
                return False
    source = present(node.inputs[0])
    if source.is_graph_input() and any(end.outputs[0].is_graph_output() for end in ends):
        return False
    node.outputs[0].replace_all_uses_with(source)
    present(node.graph).remove(node, safe=True)
    for value in moved:
        value.type = source.type
    for end in ends:
        bypass(end, present(end.inputs[0]))
    return True


def _same_steps(one: ir.Node, other: ir.Node) -> bool:
    return all(_equal(one, other, index) for index in (1, 2))


def _equal(one: ir.Node, other: ir.Node, index: int) -> bool:
    left, right = (_parameter(node, index) for node in (one, other))
    return left is right or (left is not None and right is not None and bool((left == right).all()))


def _parameter(node: ir.Node, index: int) -> Array | None:
    return constant(node.inputs[index]) if len(node.inputs) > index else None


def _in_float(node: ir.Node) -> bool:
    stored, scale, zero = (_parameter(node, index) for index in range(3))
    if stored is None or scale is None:
        return False
    shape = [1] * stored.ndim
    if scale.size > 1:
        axis = node.attributes.get_int("axis", 1)
        if scale.ndim > 1 or scale.size != stored.shape[axis]:
            return False  # by blocks
        shape[axis] = scale.size
    steps = stored.astype(np.float64) - (0 if zero is None else zero.astype(np.float64).reshape(shape))
    floats = (steps * scale.astype(np.float64).reshape(shape)).astype(scale.dtype)
    replace(node.outputs[0], initializer(present(node.graph), f"{node.outputs[0].name}_float", floats))
    present(node.graph).remove(node, safe=True)
    return True
