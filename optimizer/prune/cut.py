"""Units of groups taken out of a graph: weights get shorter, and what names a length names the new one."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from optimizer.passes._graph import constant, initializer
from optimizer.prune.groups import Group
from optimizer.prune.links import NONE, Slot

Kept = npt.NDArray[np.bool_]


def cut(graph: ir.Graph, chosen: Sequence[tuple[Group, Kept]]) -> dict[Slot, Kept]:
    """Keep of each group the units where its array [units] is True; returns what is left of each slot."""
    masks: dict[Slot, Kept] = {}
    for group, kept in chosen:
        for slot, labels in group.slots.items():
            mask = (labels == NONE) | kept[np.maximum(labels, 0)]
            masks[slot] = masks.get(slot, np.ones(len(mask), bool)) & mask
    for node in tuple(graph):
        _adapt(graph, node, masks)
    for (value, axis), mask in masks.items():
        array = constant(value)
        if array is not None:
            _set(value, np.compress(mask, array, axis))
        else:
            value.shape = None  # known no more
    return masks


def _adapt(graph: ir.Graph, node: ir.Node, masks: Mapping[Slot, Kept]) -> None:
    if node.op_type == "Reshape":
        _reshape(graph, node, masks)
    elif node.op_type == "Split":
        _split(graph, node, masks)
    elif node.op_type == "MultiHeadAttention":
        mask = next((mask for (value, _), mask in masks.items() if value is node.inputs[0]), None)
        if mask is not None:
            heads = node.attributes.get_int("num_heads", 1)
            node.attributes["num_heads"] = ir.AttrInt64("num_heads", int(mask.sum()) * heads // len(mask))
    elif node.op_type == "Conv" and node.attributes.get_int("group", 1) > 1:
        mask = next((mask for (value, _), mask in masks.items() if value is node.inputs[1]), None)
        if mask is not None:
            node.attributes["group"] = ir.AttrInt64("group", int(mask.sum()))


def _reshape(graph: ir.Graph, node: ir.Node, masks: Mapping[Slot, Kept]) -> None:
    target = constant(node.inputs[1])
    for (value, axis), mask in masks.items():
        if value is node.outputs[0] and target is not None and target[axis] == len(mask):
            changed = np.array(target, np.int64)
            changed[axis] = mask.sum()
            node.replace_input_with(1, initializer(graph, f"{value.name}_shape", changed))


def _split(graph: ir.Graph, node: ir.Node, masks: Mapping[Slot, Kept]) -> None:
    masked = {value: mask for (value, _), mask in masks.items() if value in node.outputs}
    sizes = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    axis = node.attributes.get_int("axis", 0)
    if not masked:
        return
    lengths = [
        int(masked[value].sum()) if value in masked else int(sizes[index]) if sizes is not None else 0
        for index, value in enumerate(node.outputs)
    ]
    del axis
    node.attributes.pop("num_outputs", None)
    value = initializer(graph, f"{node.outputs[0].name}_lengths", np.array(lengths, np.int64))
    node.resize_inputs(2)
    node.replace_input_with(1, value)


def _set(value: ir.Value, array: "npt.NDArray[np.generic]") -> None:
    """Let an initializer hold other numbers."""
    value.const_value = ir.tensor(np.ascontiguousarray(array), name=value.name)
    value.shape = ir.Shape(array.shape)
