"""Convolutions and MatMuls in int8 with activation ranges from calibration data (QDQ form)."""

from collections.abc import Collection, Mapping

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from optimizer.passes._graph import (
    Array,
    Floats,
    constant,
    initializer,
    insert,
    is_among,
    nodes,
    present,
    sole_user,
    weights,
)
from optimizer.quantize.gptq import Gptq
from optimizer.quantize.ranges import Range, scale_and_zero_point
from optimizer.quantize.weights import channels_last_order, quantize_channels

_MIN_WEIGHTS = 256


class QuantizeStatic(ir.passes.InPlacePass):
    """Put QuantizeLinear and DequantizeLinear around Conv and MatMul with constant float32 weights.

    1. Activations are u8 with a scale and zero point by tensor; weights s8, symmetric, with a scale by
       output channel; biases s32.
    2. Conv is quantised at its input and its output (after a Relu that alone reads it), MatMul at its
       input.
    3. Grouped, so also depthwise, convolutions stay float: int8 pays nothing there and costs the most
       accuracy.
    4. The first ``keep_first`` convolutions stay float; they are often the most sensitive.
    5. A node one of whose ranges was not observed stays float.
    6. With ``layers``, the names of nodes' outputs, only those.
    7. Weights are rounded by GPTQ where there is a rounding for the layer; the mean error that they make goes
       into the bias of a Conv that has one.
    """

    def __init__(
        self,
        ranges: Mapping[str, Range],
        *,
        saturates: bool,
        keep_first: int = 0,
        layers: Collection[str] | None = None,
        rounding: Mapping[str, Gptq] | None = None,
    ) -> None:
        """``ranges``: by value name, from ``ranges.observe``; ``saturates``: see ``weights``."""
        self.ranges = ranges
        self.saturates = saturates
        self.keep_first = keep_first
        self.layers = layers
        self.rounding = rounding or {}

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Quantise the weights first and then, once each, the activations around them."""
        graph = model.graph
        activations: dict[ir.Value, None] = {}
        for node in quantisable(graph, self.keep_first):
            if not is_among(node, self.layers):
                continue
            around = _activations(node)
            if all(value.name in self.ranges for value in around):
                input_scale, _ = scale_and_zero_point(*self.ranges[str(around[0].name)])
                rounding = self.rounding.get(str(node.outputs[0].name))
                _quantise_weights(node, float(input_scale), rounding, saturates=self.saturates)
                activations.update(dict.fromkeys(around))
        for value in activations:
            _quantise_activation(graph, value, self.ranges[str(value.name)])
        return ir.passes.PassResult(model, modified=bool(activations))


def quantisable(graph: ir.Graph, keep_first: int = 0) -> list[ir.Node]:
    """The Conv and MatMul nodes that rules 1 to 4 name, in the order of the graph."""
    convolutions = list(nodes(graph, "Conv"))
    kept = set(convolutions[:keep_first])
    return [node for node in nodes(graph, "Conv", "MatMul") if node not in kept and _qualifies(node)]


def observed_names(graph: ir.Graph) -> list[str]:
    """The values whose ranges ``QuantizeStatic`` needs."""
    return [str(value.name) for node in quantisable(graph) for value in _activations(node)]


def _qualifies(node: ir.Node) -> bool:
    weight, data = constant(node.inputs[1]), node.inputs[0]
    if weight is None or weight.dtype != np.float32 or weight.size < _MIN_WEIGHTS or data is None:
        return False
    if not np.isfinite(weight).all() or constant(data) is not None:
        return False
    if node.op_type == "MatMul":
        return weight.ndim == 2
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    return node.attributes.get_int("group", 1) == 1 and (bias is None or constant(bias) is not None)


def _activations(node: ir.Node) -> list[ir.Value]:
    """Its input and, for a Conv, its output: after the Relu if one follows."""
    data = present(node.inputs[0])
    if node.op_type == "MatMul":
        return [data]
    relu = sole_user(node.outputs[0])
    end = relu if relu is not None and relu.op_type == "Relu" and relu.domain == "" else node
    return [data, end.outputs[0]]


def _quantise_weights(node: ir.Node, input_scale: float, rounding: Gptq | None, *, saturates: bool) -> None:
    weight = present(weights(node.inputs[1]))
    is_conv = node.op_type == "Conv"
    rows = weight.reshape(weight.shape[0], -1) if is_conv else weight.T
    orders = [channels_last_order(weight.shape[1:])] if is_conv else []
    bias = weights(node.inputs[2]) if is_conv and len(node.inputs) > 2 else None
    if rounding is None:
        quantised, scale = quantize_channels(rows, orders, saturates=saturates)
    else:
        round_rows = rounding if bias is None else rounding.centred()
        quantised, scale = round_rows(rows, orders, saturates=saturates)
        if bias is not None:
            bias = bias + (rows - quantised * scale[:, None].astype(np.float64)) @ rounding.mean
    stored = quantised.reshape(weight.shape) if is_conv else np.ascontiguousarray(quantised.T)
    name = f"{present(node.inputs[1]).name}_s8"
    node.replace_input_with(1, _dequantised(node, name, stored, scale, axis=0 if is_conv else 1))
    if bias is not None:
        _quantise_bias(node, bias, scale * np.float32(input_scale))


def _quantise_bias(conv: ir.Node, bias: Floats, scale: npt.NDArray[np.float32]) -> None:
    scale = np.maximum(scale, np.float32(1e-30))
    whole = np.rint(bias.astype(np.float64) / scale)
    stored = np.clip(whole, -(2**31) + 1, 2**31 - 1).astype(np.int32)
    conv.replace_input_with(2, _dequantised(conv, f"{conv.outputs[0].name}_s32", stored, scale, axis=0))


def _dequantised(
    before: ir.Node, name: str, stored: Array, scale: npt.NDArray[np.float32], *, axis: int
) -> ir.Value:
    graph = present(before.graph)
    inputs = [
        initializer(graph, name, stored),
        initializer(graph, f"{name}_scale", scale),
        initializer(graph, f"{name}_zero", np.zeros(scale.shape, stored.dtype)),
    ]
    return insert(before, "DequantizeLinear", inputs, {"axis": axis}).outputs[0]


def _quantise_activation(graph: ir.Graph, value: ir.Value, limits: Range) -> None:
    """Let all that reads ``value`` read it rounded to u8; a graph's output stays as it is."""
    scale, zero_point = scale_and_zero_point(*limits)
    parameters = [
        initializer(graph, f"{value.name}_scale", scale),
        initializer(graph, f"{value.name}_zero", zero_point),
    ]
    uses = tuple(value.uses())
    quantise = ir.node("QuantizeLinear", [value, *parameters])
    dequantise = ir.node("DequantizeLinear", [quantise.outputs[0], *parameters])
    producer = value.producer()
    first = next(iter(graph))
    if producer is not None and producer.graph is graph:
        graph.insert_after(producer, [quantise, dequantise])
    else:
        graph.insert_before(first, [quantise, dequantise])
    for node, index in uses:
        node.replace_input_with(index, dequantise.outputs[0])
