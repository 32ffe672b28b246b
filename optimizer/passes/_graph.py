"""The few graph questions and edits that the passes share."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

Array = npt.NDArray[np.generic]
Floats = npt.NDArray[np.floating[Any]]
T = TypeVar("T")

_FLOATS = (np.float32, np.float64)


def constant(value: ir.Value | None) -> Array | None:
    """The array behind an initializer or a Constant node, or None where a caller could change it."""
    if value is None or value.is_graph_input():
        return None
    tensor = ir.convenience.get_const_tensor(value)
    return None if tensor is None else tensor.numpy()


def scalar(value: ir.Value | None) -> float | None:
    """The number behind a constant of one element, else None."""
    array = constant(value)
    return float(array.reshape(())) if array is not None and array.size == 1 else None


def sole_user(value: ir.Value) -> ir.Node | None:
    """The one node that reads ``value``, or None when others do, or a graph gives it as its output."""
    uses = list(value.uses())
    return uses[0].node if len(uses) == 1 and not value.is_graph_output() else None


def present(thing: T | None) -> T:
    """What a pass has made sure of before: not None."""
    if thing is None:
        raise ValueError("the graph is not what the pass looked at before")
    return thing


def weights(value: ir.Value | None) -> Floats | None:
    """The float32 or float64 array behind a constant, else None."""
    array = constant(value)
    return array.astype(array.dtype, copy=False) if array is not None and array.dtype in _FLOATS else None


def split_constant(node: ir.Node) -> tuple[ir.Value, Array] | None:
    """Of a two-input node: its variable input and its constant one, whichever side each is on."""
    if len(node.inputs) != 2:
        return None
    for data, other in ((node.inputs[0], node.inputs[1]), (node.inputs[1], node.inputs[0])):
        array = constant(other)
        if data is not None and array is not None and constant(data) is None:
            return data, array
    return None


def nodes(graph: ir.Graph, *op_types: str) -> Iterator[ir.Node]:
    """The main graph's nodes of the standard domain, of these types if any are named, safe against edits."""
    for node in tuple(graph):
        if node.graph is graph and node.domain == "" and (not op_types or node.op_type in op_types):
            yield node


def is_among(node: ir.Node, layers: Collection[str] | None) -> bool:
    """Whether a node is one of these layers, named by their first outputs; None means all."""
    return layers is None or node.outputs[0].name in layers


def initializer(graph: ir.Graph, hint: str, array: Array) -> ir.Value:
    """A new initializer under an unused name that starts with ``hint``."""
    name, number = hint, 0
    taken = graph.initializers
    while name in taken:
        number += 1
        name = f"{hint}_{number}"
    # onnx-ir writes texts that it got as a list, those of an array it does not.
    tensor = ir.tensor(array.tolist() if array.dtype == object else array, name=name)
    value = ir.Value(
        name=name,
        type=ir.TensorType(tensor.dtype),
        shape=ir.Shape(array.shape),
        const_value=tensor,
    )
    graph.register_initializer(value)
    return value


def insert(
    before: ir.Node,
    op_type: str,
    inputs: Sequence[ir.Value | None],
    attributes: Mapping[str, int | float | list[int] | str | ir.TensorProtocol] | None = None,
    outputs: int = 1,
) -> ir.Node:
    """A new node of the standard domain, placed before another."""
    node = ir.node(op_type, inputs, dict(attributes or {}), num_outputs=outputs)
    present(before.graph).insert_before(before, node)
    return node


def replace(old: ir.Value, new: ir.Value) -> None:
    """Let everything that reads ``old`` read ``new``, which takes over its type, shape and name.

    So what a layer gives keeps its name, whatever computes it. A graph's own inputs and outputs stay theirs.
    """
    new.type = old.type or new.type
    new.shape = old.shape or new.shape
    name = old.name
    renamed = old.is_graph_output() or (new.producer() is not None and not new.is_graph_output())
    old.replace_all_uses_with(new, replace_graph_outputs=True)
    if renamed:
        old.name = f"{name}_replaced"
        new.name = name


def bypass(node: ir.Node, value: ir.Value) -> None:
    """Remove a node of one output, whose readers read ``value`` from now on."""
    replace(node.outputs[0], value)
    present(node.graph).remove(node, safe=True)
