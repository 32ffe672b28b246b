"""Where a scale and a shift of an activation's channels can go instead of into operators of their own."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from optimizer.passes._graph import Floats, constant, initializer, present, sole_user, split_constant, weights

Reader = tuple[ir.Node, int]  # and which of its inputs


@dataclass(frozen=True)
class Norm:
    """The LayerNormalization that makes the value; all but the layers read it multiplied back."""

    node: ir.Node
    others: tuple[Reader, ...]
    shifts: bool = True

    def absorb(self, scale: Floats, shift: Floats) -> None:
        """Change its scale and bias, and restore for its other readers."""
        node, graph = self.node, present(self.node.graph)
        value = node.outputs[0]
        weight = present(weights(node.inputs[1]))
        bias = weights(node.inputs[2]) if len(node.inputs) > 2 else None
        moved = ((bias if bias is not None else 0) - shift) / scale
        node.resize_inputs(3)
        node.replace_input_with(1, _changed(graph, f"{value.name}_weight", weight / scale))
        node.replace_input_with(2, _changed(graph, f"{value.name}_bias", moved))
        if self.others:
            restored = ir.node("Mul", [value, _changed(graph, f"{value.name}_scale", scale)])
            graph.insert_after(node, restored)
            self._restore(graph, restored, shift)

    def _restore(self, graph: ir.Graph, restored: ir.Node, shift: Floats) -> None:
        """Give the other readers what they read before; the shift goes into a bias that is added anyway."""
        end = restored
        constants = _changed(graph, f"{self.node.outputs[0].name}_shift", shift)
        bias = _added_bias(self.others)
        if bias is not None:
            add, index = bias
            bias_value = present(add.inputs[index])
            total = present(weights(bias_value)) + shift
            add.replace_input_with(index, _changed(graph, str(bias_value.name), total))
        elif shift.any():
            end = ir.node("Add", [restored.outputs[0], constants])
            graph.insert_after(restored, end)
        for reader, index in self.others:
            reader.replace_input_with(index, end.outputs[0])


@dataclass(frozen=True)
class Columns:
    """Columns of a MatMul, and of the bias after it, that make the value through what only passes them on."""

    matmul: ir.Node
    add: ir.Node | None
    start: int
    count: int
    shifts: bool

    def absorb(self, scale: Floats, shift: Floats) -> None:
        """Change these columns."""
        graph = present(self.matmul.graph)
        part = slice(self.start, self.start + self.count)
        value = present(self.matmul.inputs[1])
        weight = present(weights(value)).copy()
        weight[:, part] /= scale
        self.matmul.replace_input_with(1, _changed(graph, str(value.name), weight))
        if self.add is not None:
            index = 1 if constant(self.add.inputs[0]) is None else 0
            value = present(self.add.inputs[index])
            bias = present(weights(value)).copy()
            bias[part] = (bias[part] - shift) / scale
            self.add.replace_input_with(index, _changed(graph, str(value.name), bias))


def find_place(value: ir.Value, readers: Sequence[ir.Node]) -> Norm | Columns | None:
    """What makes a value, if it can make it scaled (and shifted, where ``shifts``) for these readers.

    1. LayerNormalization over the last axis: whoever else reads it gets it multiplied back.
    2. MatMul by constants, with or without an Add of constants, that only they read; Relu or a Split may
       follow it, but a shift does not pass Relu.
    3. MultiHeadAttention whose values are such: its weights sum to one, so scale and shift pass it.
    """
    node = value.producer()
    if node is None or value.is_graph_output():
        return None
    others = tuple((usage.node, usage.idx) for usage in value.uses() if usage.node not in readers)
    if (node.op_type, node.domain) == ("LayerNormalization", ""):
        return Norm(node, others) if _is_plain_norm(node) else None
    if others:
        return None
    if (node.op_type, node.domain) == ("MultiHeadAttention", "com.microsoft"):
        values = node.inputs[2]
        return _columns(values) if values is not None and sole_user(values) is node else None
    if (node.op_type, node.domain) == ("Relu", ""):
        before = present(node.inputs[0])
        found = _columns(before) if sole_user(before) is node else None
        return Columns(found.matmul, found.add, found.start, found.count, shifts=False) if found else None
    return _columns(value)


def _is_plain_norm(node: ir.Node) -> bool:
    weight = weights(node.inputs[1])
    has_bias = len(node.inputs) > 2 and node.inputs[2] is not None
    return (
        node.attributes.get_int("axis", -1) == -1
        and weight is not None
        and weight.ndim == 1
        and (not has_bias or weights(node.inputs[2]) is not None)
        and not any(output.uses() for output in node.outputs[1:])
    )


def _columns(value: ir.Value) -> Columns | None:
    """The columns of a MatMul that are this value."""
    node, start, count = value.producer(), 0, None
    if node is not None and node.op_type == "Split" and node.domain == "":
        sizes = constant(node.inputs[1]) if len(node.inputs) > 1 else None
        if sizes is None or node.attributes.get_int("axis", 0) not in (-1, 2):
            return None
        place = node.outputs.index(value)
        start, count = int(sizes[:place].sum()), int(sizes[place])
        value = present(node.inputs[0])
        node = value.producer() if sole_user(value) is node else None
    add = node if node is not None and node.op_type == "Add" and node.domain == "" else None
    if add is not None:
        parts = split_constant(add)
        bias = parts[1] if parts is not None else None
        if parts is None or bias is None or bias.ndim != 1 or sole_user(parts[0]) is not add:
            return None
        node = parts[0].producer()
    weight = weights(node.inputs[1]) if node is not None and node.op_type == "MatMul" else None
    if node is None or weight is None or weight.ndim != 2:
        return None
    return Columns(node, add, start, weight.shape[1] if count is None else count, shifts=add is not None)


def _added_bias(others: Sequence[Reader]) -> tuple[ir.Node, int] | None:
    """Where a residual is added to what a bias was just added to: that Add, and the bias's place in it."""
    residual, place = others[0]
    if len(others) != 1 or (residual.op_type, residual.domain) != ("Add", ""):
        return None
    other = residual.inputs[1 - place]
    add = other.producer() if other is not None and sole_user(other) is residual else None
    if add is None or (add.op_type, add.domain) != ("Add", ""):
        return None
    bias = [
        index for index, value in enumerate(add.inputs) if (a := weights(value)) is not None and a.ndim == 1
    ]
    return (add, bias[0]) if bias else None


def _changed(graph: ir.Graph, hint: str, array: Floats) -> ir.Value:
    return initializer(graph, hint, np.asarray(array, np.float32))
