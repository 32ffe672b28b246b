"""Convolutions and matrix products in int8 with activation ranges from calibration data."""

from collections.abc import Collection, Mapping

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from optimizer.passes._graph import (
    Array,
    Floats,
    bypass,
    constant,
    initializer,
    insert,
    is_among,
    nodes,
    present,
    sole_user,
    weights,
)
from optimizer.quantize import dynamic
from optimizer.quantize._products import MICROSOFT, Quantised, matrix, multiply, with_addend
from optimizer.quantize.gptq import Gptq
from optimizer.quantize.ranges import Range, scale_and_zero_point
from optimizer.quantize.weights import Rounding, channels_last_order, quantize_channels

_MIN_WEIGHTS = 256


class QuantizeStatic(ir.passes.InPlacePass):
    """Quantise what Conv, MatMul and Gemm with constant float32 weights read.

    1. Activations are u8 with a scale and zero point by tensor; weights s8, symmetric, with a scale by
       output channel; biases of Conv s32.
    2. Conv is quantised at its input and its output (after a Relu that alone reads it), by QuantizeLinear and
       DequantizeLinear around it, and whatever else reads these reads them rounded: it may become an integer
       operator too. MatMul and Gemm (those of ``quantize.dynamic``) are quantised at their input and become
       ``MatMulIntegerToFloat``: which of them ONNX Runtime fuses depends on what follows.
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
        rounded: dict[ir.Value, None] = {}
        products: list[ir.Node] = []
        for node in quantisable(graph, self.keep_first):
            if not is_among(node, self.layers):
                continue
            around = _activations(node)
            if not all(value.name in self.ranges for value in around):
                continue
            if node.op_type != "Conv":
                products.append(node)
                continue
            rounded.update(dict.fromkeys(around))
            input_scale, _ = scale_and_zero_point(*self.ranges[str(around[0].name)])
            rounding = self.rounding.get(str(node.outputs[0].name))
            _quantise_conv(node, float(input_scale), rounding, saturates=self.saturates)
        inputs = {
            present(node.inputs[0]): _quantised(graph, present(node.inputs[0]), self.ranges)
            for node in products
        }
        for node in products:
            weights_rounding = self.rounding.get(str(node.outputs[0].name)) or quantize_channels
            _multiply(node, inputs[present(node.inputs[0])], weights_rounding, saturates=self.saturates)
        for value in rounded:
            _round(graph, value, inputs.get(value) or _quantised(graph, value, self.ranges))
        if products:
            model.opset_imports.setdefault(MICROSOFT, 1)
        return ir.passes.PassResult(model, modified=bool(rounded or products))


def quantisable(graph: ir.Graph, keep_first: int = 0) -> list[ir.Node]:
    """The nodes that rules 1 to 4 name, in the order of the graph."""
    convolutions = list(nodes(graph, "Conv"))
    kept = set(convolutions[:keep_first])
    products = set(dynamic.quantisable(graph))
    return [
        node
        for node in nodes(graph, "Conv", "MatMul", "Gemm")
        if node in products or (node.op_type == "Conv" and node not in kept and _qualifies(node))
    ]


def observed_names(graph: ir.Graph) -> list[str]:
    """The values whose ranges ``QuantizeStatic`` needs."""
    return [str(value.name) for node in quantisable(graph) for value in _activations(node)]


def _qualifies(conv: ir.Node) -> bool:
    weight, data = constant(conv.inputs[1]), conv.inputs[0]
    if weight is None or weight.dtype != np.float32 or weight.size < _MIN_WEIGHTS or data is None:
        return False
    if not np.isfinite(weight).all() or constant(data) is not None:
        return False
    bias = conv.inputs[2] if len(conv.inputs) > 2 else None
    return conv.attributes.get_int("group", 1) == 1 and (bias is None or constant(bias) is not None)


def _activations(node: ir.Node) -> list[ir.Value]:
    """Its input and, for a Conv, its output: after the Relu if one follows."""
    data = present(node.inputs[0])
    if node.op_type != "Conv":
        return [data]
    relu = sole_user(node.outputs[0])
    end = relu if relu is not None and relu.op_type == "Relu" and relu.domain == "" else node
    return [data, end.outputs[0]]


def _quantise_conv(conv: ir.Node, input_scale: float, rounding: Gptq | None, *, saturates: bool) -> None:
    weight = present(weights(conv.inputs[1]))
    rows = weight.reshape(weight.shape[0], -1)
    orders = [channels_last_order(weight.shape[1:])]
    bias = weights(conv.inputs[2]) if len(conv.inputs) > 2 else None
    if rounding is None:
        quantised, scale = quantize_channels(rows, orders, saturates=saturates)
    else:
        round_rows = rounding if bias is None else rounding.centred()
        quantised, scale = round_rows(rows, orders, saturates=saturates)
        if bias is not None:
            bias = bias + (rows - quantised * scale[:, None].astype(np.float64)) @ rounding.mean
    name = f"{present(conv.inputs[1]).name}_s8"
    conv.replace_input_with(1, _dequantised(conv, name, quantised.reshape(weight.shape), scale, axis=0))
    if bias is not None:
        _quantise_bias(conv, bias, scale * np.float32(input_scale))


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


def _quantised(graph: ir.Graph, value: ir.Value, ranges: Mapping[str, Range]) -> Quantised:
    scale, zero_point = scale_and_zero_point(*ranges[str(value.name)])
    parameters = [
        initializer(graph, f"{value.name}_scale", scale),
        initializer(graph, f"{value.name}_zero", zero_point),
    ]
    node = ir.node("QuantizeLinear", [value, *parameters])
    producer = value.producer()
    if producer is not None and producer.graph is graph:
        graph.insert_after(producer, node)
    else:
        graph.insert_before(next(iter(graph)), node)
    return Quantised(node.outputs[0], *parameters)


def _round(graph: ir.Graph, value: ir.Value, quantised: Quantised) -> None:
    """Let all that reads ``value`` read it rounded to u8; a graph's output stays as it is."""
    quantise = quantised.value.producer()
    uses = [usage for usage in value.uses() if usage.node is not quantise]
    if uses:
        rounded = ir.node("DequantizeLinear", [quantised.value, quantised.scale, quantised.zero])
        graph.insert_after(present(quantise), rounded)
        for node, index in uses:
            node.replace_input_with(index, rounded.outputs[0])


def _multiply(node: ir.Node, data: Quantised, rounding: Rounding, *, saturates: bool) -> None:
    """A MatMul or Gemm of what is quantised."""
    graph, value = present(node.graph), present(node.inputs[1])
    weight = present(weights(value))
    columns = weight if node.attributes.get_int("transB", 0) else weight.T
    stored, scale = rounding(columns, (), saturates=saturates)
    product = multiply(node, data, matrix(graph, str(value.name), stored, scale))
    bypass(node, with_addend(node, product))
