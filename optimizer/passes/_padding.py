"""Find out what a mask is made of: exporters write different chains for it, which compute the same."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
import onnxruntime as ort

from optimizer.passes._graph import Array, present
from optimizer.runtime import quiet_options

_TRIALS = ((1, 4), (3, 7), (2, 5))  # batch and length
_LOW = -1000.0  # what is added to a score to mask it is at most this
_LOWEST = float(np.finfo(np.float32).min)


@dataclass(frozen=True)
class Padding:
    """A mask that is 0 where ``source`` [batch, length] is not 0, and ``low`` elsewhere."""

    source: ir.Value
    low: float


def padding_mask(model: ir.Model, mask: ir.Value) -> Padding | None:
    """The model input that a mask spreads over heads and queries, if that is all it does.

    The mask's own chain is run on random 0 and 1 of several shapes. It may read the content of one integer or
    boolean input [batch, length] and, through Shape, the shapes of others.
    """
    contents = _inputs(mask, through_shapes=False)
    inputs = _inputs(mask, through_shapes=True)
    if len(contents) != 1 or not all(_is_table(value, contents[0]) for value in inputs):
        return None
    source, lows = contents[0], set()
    random = np.random.default_rng(0)
    try:
        session = _session(model, mask, inputs)
        for shape in _TRIALS:
            flags = random.integers(0, 2, shape)
            flags[:, 0] = 1
            flags[-1, -1] = 0
            answer = session.run(
                None, {str(v.name): _feed(v, flags if v is source else flags * 0) for v in inputs}
            )
            lows.add(_low(answer[0], flags))
    except Exception:  # noqa: BLE001 - onnxruntime raises many types; whatever it is, the mask is not understood
        return None
    low = lows.pop()
    return Padding(source, max(low, _LOWEST)) if low is not None and not lows else None


def _inputs(value: ir.Value, *, through_shapes: bool) -> list[ir.Value]:
    """The model's inputs that a value is computed from."""
    found: dict[ir.Value, None] = {}
    for one in _ancestors(value, through_shapes=through_shapes):
        if one.is_graph_input():
            found[one] = None
    return list(found)


def _ancestors(value: ir.Value, *, through_shapes: bool) -> Iterable[ir.Value]:
    seen: dict[ir.Value, None] = {}
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if one in seen:
            continue
        seen[one] = None
        node = one.producer()
        if node is not None and (through_shapes or node.op_type not in ("Shape", "Size")):
            waiting += [other for other in node.inputs if other is not None]
    return seen


def _is_table(value: ir.Value, like: ir.Value) -> bool:
    """Whether a value is an input [batch, length] of integers, of the same axes as another."""
    is_integer = value.dtype is not None and (value.dtype.is_integer() or value.dtype == ir.DataType.BOOL)
    return is_integer and value.shape is not None and len(value.shape) == 2 and value.shape == like.shape


def _feed(value: ir.Value, flags: Array) -> Array:
    return flags.astype(present(value.dtype).numpy())


def _low(mask: Array, flags: Array) -> float | None:
    """The number that stands where the flag of the key is 0; none if the mask is anything else."""
    if mask.ndim != 4 or mask.dtype != np.float32:
        return None
    low = float(mask.min())
    expected = np.where(flags[:, None, None, :] != 0, np.float32(0), np.float32(low))
    same = np.array_equal(np.broadcast_to(expected, mask.shape), mask) if _spreads(expected, mask) else False
    return low if same and low <= _LOW else None


def _spreads(expected: Array, mask: Array) -> bool:
    return np.broadcast_shapes(expected.shape, mask.shape) == mask.shape


def _session(model: ir.Model, value: ir.Value, inputs: list[ir.Value]) -> ort.InferenceSession:
    """A model of all that ``value`` is computed from."""
    needed = set(_ancestors(value, through_shapes=True))
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
        if any(one in needed for one in node.outputs)
    ]
    graph = ir.Graph(
        [copies[one] for one in inputs],
        [copies[value]],
        nodes=nodes,
        initializers=[copies[one] for one in needed if one.is_initializer()],
        name="part",
        opset_imports=model.opset_imports,
    )
    data = ir.to_proto(ir.Model(graph, ir_version=model.ir_version)).SerializeToString()
    return ort.InferenceSession(data, quiet_options())


def _copy(value: ir.Value) -> ir.Value:
    return ir.Value(name=value.name, type=value.type, shape=value.shape, const_value=value.const_value)
