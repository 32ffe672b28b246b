"""Multiplications and additions of constants into the weights beside them."""

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from optimizer.passes._graph import (
    Array,
    Floats,
    bypass,
    constant,
    initializer,
    nodes,
    present,
    sole_user,
    split_constant,
    weights,
)
from optimizer.passes.fold_batch_normalization import set_conv

_FLOAT = (np.float32, np.float64)
_TINY = 1e-6


class FoldAffine(ir.passes.InPlacePass):
    """Fold Mul and Add by constants, per tensor or per channel, into Conv and MatMul.

    1. Mul or Add after a Conv that nobody else reads: into its weights and bias, by output channel.
    2. Mul before a Conv: into its weights, by input channel. (An Add before a Conv is folded only if the
       Conv does not pad, because the padding is not shifted.)
    3. Mul after a MatMul by a constant matrix: into its columns; Mul before it: into its rows. An Add before
       it: into the Add of a constant that follows it, if one does.
    4. Mul by a number before an Add of a constant before a Conv: h * m + c is (h + c / m) * m, and the Mul
       goes into the Conv, whose padding it does not change.
    5. Only where the factor is constant along every axis but the channels, and does not widen its other
       operand.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Repeat until nothing folds, because chains fold one link at a time."""
        modified = False
        while any([_fold(model.graph, node) for node in nodes(model.graph, "Mul", "Add")]):  # noqa: C419 - all, not the first
            modified = True
        return ir.passes.PassResult(model, modified)


def _fold(graph: ir.Graph, node: ir.Node) -> bool:
    parts = split_constant(node) if node.graph is graph else None
    if parts is None or parts[1].dtype not in _FLOAT:
        return False
    return _into_before(graph, node, *parts) or _into_after(graph, node, *parts)


def _into_before(graph: ir.Graph, node: ir.Node, data: ir.Value, factor: Array) -> bool:
    before = data.producer()
    if before is None or before.domain or sole_user(data) is not node:
        return False
    if before.op_type == "Conv":
        return _after_conv(graph, before, node, factor)
    fits = before.op_type == "MatMul" and node.op_type == "Mul"
    return fits and _after_matmul(graph, before, node, factor)


def _into_after(graph: ir.Graph, node: ir.Node, data: ir.Value, factor: Array) -> bool:
    after = sole_user(node.outputs[0])
    if after is None or after.domain or after.graph is not graph:
        return False
    if after.op_type == "Add" and node.op_type == "Mul" and factor.size == 1:
        return _past_add(graph, node, data, after, factor)
    if after.inputs[0] is not node.outputs[0]:
        return False
    if after.op_type == "Conv":
        return _before_conv(graph, node, data, after, factor)
    return after.op_type == "MatMul" and _before_matmul(graph, node, data, after, factor)


def _past_add(graph: ir.Graph, node: ir.Node, data: ir.Value, add: ir.Node, factor: Array) -> bool:
    conv, parts, number = sole_user(add.outputs[0]), split_constant(add), float(factor.reshape(()))
    if conv is None or conv.op_type != "Conv" or conv.domain or conv.inputs[0] is not add.outputs[0]:
        return False
    weight = weights(conv.inputs[1])
    if add.domain or parts is None or parts[1].dtype not in _FLOAT or weight is None:
        return False
    if abs(number) < _TINY or factor.ndim > weight.ndim:
        return False
    shifted = (parts[1].astype(np.float64) / number).astype(parts[1].dtype)
    shift = initializer(graph, f"{add.outputs[0].name}_shift", shifted)
    add.replace_input_with(0, data)
    add.replace_input_with(1, shift)
    set_conv(graph, conv, weight * number, None)
    # What the Add gives is another value now, which must not be known by the old one's name.
    name = add.outputs[0].name
    add.outputs[0].name = f"{name}_unscaled"
    graph.remove(node, safe=True)
    return True


def _per_channel(factor: Array, channels: int, rank: int, axis: int) -> npt.NDArray[np.float64] | None:
    """The factor as float64 [channels], or None if it varies along, or widens, another axis."""
    if factor.size == 1 and factor.ndim <= rank:
        return np.full(channels, float(factor.reshape(())))
    shape = (1,) * (rank - factor.ndim) + factor.shape
    if len(shape) != rank or shape[axis] != channels or factor.size != channels:
        return None
    return factor.reshape(-1).astype(np.float64)


def _widens(factor: Array, data: ir.Value, axis: int) -> bool:
    """Whether data's axis may have length 1, and only the factor gives it the length that follows."""
    if factor.size == 1:
        return False
    return data.shape is None or data.shape.rank() == 0 or data.shape[axis] != factor.size


def _bias(conv: ir.Node, channels: int) -> npt.NDArray[np.float64] | None:
    value = conv.inputs[2] if len(conv.inputs) > 2 else None
    if value is None:
        return np.zeros(channels)
    bias = constant(value)
    return None if bias is None else bias.astype(np.float64)


def _after_conv(graph: ir.Graph, conv: ir.Node, node: ir.Node, factor: Array) -> bool:
    weight = weights(conv.inputs[1])
    if weight is None:
        return False
    channels = _per_channel(factor, weight.shape[0], weight.ndim, 1)
    bias = _bias(conv, weight.shape[0])
    if channels is None or bias is None:
        return False
    if node.op_type == "Mul":
        has_bias = len(conv.inputs) > 2 and conv.inputs[2] is not None
        scaled = weight * channels.reshape(-1, *[1] * (weight.ndim - 1))
        set_conv(graph, conv, scaled, bias * channels if has_bias else None)
    else:
        set_conv(graph, conv, weight, bias + channels)
    bypass(node, conv.outputs[0])
    return True


def _before_conv(graph: ir.Graph, node: ir.Node, data: ir.Value, conv: ir.Node, factor: Array) -> bool:
    weight = weights(conv.inputs[1])
    if weight is None:
        return False
    group = conv.attributes.get_int("group", 1)
    channels = _per_channel(factor, weight.shape[1] * group, weight.ndim, 1)
    bias = _bias(conv, weight.shape[0])
    if channels is None or bias is None or _widens(factor, data, 1):
        return False
    by_output = np.repeat(channels.reshape(group, -1), weight.shape[0] // group, axis=0)
    by_output = by_output.reshape(weight.shape[0], weight.shape[1], *[1] * (weight.ndim - 2))
    if node.op_type == "Mul":
        set_conv(graph, conv, weight * by_output, None)
    elif _pads(conv):
        return False
    else:
        shift = (weight * by_output).reshape(weight.shape[0], -1).sum(axis=1)
        set_conv(graph, conv, weight, bias + shift)
    bypass(node, data)
    return True


def _pads(conv: ir.Node) -> bool:
    auto_pad = conv.attributes.get_string("auto_pad", "NOTSET")
    return auto_pad in ("SAME_UPPER", "SAME_LOWER") or any(conv.attributes.get_ints("pads", []))


def _after_matmul(graph: ir.Graph, matmul: ir.Node, node: ir.Node, factor: Array) -> bool:
    weight = weights(matmul.inputs[1])
    if weight is None or weight.ndim != 2 or factor.ndim > 1:
        return False
    columns = _per_channel(factor, weight.shape[1], 1, 0)
    if columns is None:
        return False
    _set_matmul(graph, matmul, weight * columns)
    bypass(node, matmul.outputs[0])
    return True


def _before_matmul(graph: ir.Graph, node: ir.Node, data: ir.Value, matmul: ir.Node, factor: Array) -> bool:
    weight = weights(matmul.inputs[1])
    if weight is None or weight.ndim != 2 or factor.ndim > 1:
        return False
    rows = _per_channel(factor, weight.shape[0], 1, 0)
    if rows is None or _widens(factor, data, -1):
        return False
    if node.op_type == "Mul":
        _set_matmul(graph, matmul, weight * rows[:, None])
    elif not _add_to_bias(graph, matmul, rows @ weight):
        return False
    bypass(node, data)
    return True


def _add_to_bias(graph: ir.Graph, matmul: ir.Node, shift: npt.NDArray[np.float64]) -> bool:
    add = sole_user(matmul.outputs[0])
    parts = split_constant(add) if add is not None and (add.op_type, add.domain) == ("Add", "") else None
    place = 1 if add is not None and add.inputs[0] is matmul.outputs[0] else 0
    old = weights(add.inputs[place]) if add is not None and parts is not None else None
    if add is None or old is None or old.shape[-1:] != shift.shape:
        return False
    bias = initializer(graph, f"{add.outputs[0].name}_bias", (old + shift).astype(old.dtype))
    add.replace_input_with(place, bias)
    return True


def _set_matmul(graph: ir.Graph, matmul: ir.Node, weight: Floats) -> None:
    old = present(matmul.inputs[1])
    folded = weight.astype(present(weights(old)).dtype)
    matmul.replace_input_with(1, initializer(graph, f"{old.name}_folded", folded))
