"""A part of a graph, run by itself: exporters build it in different ways, that compute the same."""

from collections.abc import Collection, Sequence

import onnx_ir as ir
import onnxruntime as ort

from optimizer.runtime import quiet_options


def inputs_of(value: ir.Value, *, through_shapes: bool) -> list[ir.Value]:
    """The model's inputs that a value is computed from: of all of them, or of those whose content matters."""
    return [one for one in ancestors(value, through_shapes=through_shapes) if one.is_graph_input()]


def ancestors(value: ir.Value, *, through_shapes: bool, until: Collection[ir.Value] = ()) -> list[ir.Value]:
    """The value, and all that it is computed from, up to those of ``until``.

    What only its shape is of with ``through_shapes`` only.
    """
    seen: dict[ir.Value, None] = {}
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if one in seen:
            continue
        seen[one] = None
        node = one.producer() if one not in until else None
        if node is not None and (through_shapes or node.op_type not in ("Shape", "Size")):
            waiting += [other for other in node.inputs if other is not None]
    return list(seen)


def session_of(
    model: ir.Model, values: Sequence[ir.Value], inputs: Collection[ir.Value]
) -> ort.InferenceSession:
    """A model of all that ``values`` are computed from, which begins at ``inputs``."""
    needed = {one for value in values for one in ancestors(value, through_shapes=True, until=inputs)}
    copies = {one: _copy(one) for one in needed}
    nodes = [
        ir.Node(
            node.domain,
            node.op_type,
            [None if one is None else copies[one] for one in node.inputs],
            list(node.attributes.values()),
            outputs=[copies.get(one) or ir.Value(name=one.name) for one in node.outputs],
        )
        for node in model.graph
        if any(one in needed and one not in inputs for one in node.outputs)
    ]
    graph = ir.Graph(
        [copies[one] for one in inputs],
        [copies[value] for value in values],
        nodes=nodes,
        initializers=[copies[one] for one in needed if one.is_initializer()],
        name="part",
        opset_imports=model.opset_imports,
    )
    data = ir.to_proto(ir.Model(graph, ir_version=model.ir_version)).SerializeToString()
    return ort.InferenceSession(data, quiet_options())


def is_integer(value: ir.Value) -> bool:
    """Whether a value is of integers or booleans, which 0 and 1 are valid examples of."""
    return value.dtype is not None and (value.dtype.is_integer() or value.dtype == ir.DataType.BOOL)


def _copy(value: ir.Value) -> ir.Value:
    # Shapes in between are those of the whole model's inputs, and a part may be run on others.
    shape = value.shape if value.producer() is None else None
    return ir.Value(name=value.name, type=value.type, shape=shape, const_value=value.const_value)
