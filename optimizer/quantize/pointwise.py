"""1x1 convolutions as int8 matrix products: inputs quantised by channel, outputs float."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from optimizer.passes._graph import initializer, insert, is_among, present, weights
from optimizer.quantize._channels_last import SCALAR, UNARY, put_in_place
from optimizer.quantize._products import MICROSOFT, Quantised, matrix, multiply
from optimizer.quantize.gptq import Gptq
from optimizer.quantize.layers import Layer, layers_of
from optimizer.quantize.ranges import ChannelRanges, scales_and_zero_points
from optimizer.quantize.weights import quantize_channels

_MIN_WEIGHTS = 256


class QuantizePointwise(ir.passes.InPlacePass):
    """Compute 1x1 convolutions as u8 x s8 products with float results (``MatMulIntegerToFloat``).

    1. Conv of one group, constant float32 weights and bias, kernel and strides of ones, no padding.
    2. The input is quantised to u8 with a scale and zero point *by channel*; its channel scales are
       multiplied into the weights, and its zero points into the bias. A convolution could not do that where
       it pads, and a matrix product by rows would pay for it: ONNX Runtime quantises along the last axis
       twenty times slower. So an input that comes from another matrix product has one scale.
    3. The result is float: it is not rounded a second time, as QLinearConv would.
    4. Channels are last around the product; element-wise nodes after it that nobody else reads are put before
       the Transpose back, which ONNX Runtime then merges with its own reordering.
    5. Weights are rounded by GPTQ where there is a rounding for the layer, and the mean error that they
       make goes into the bias.
    6. A layer whose input's ranges were not observed stays as it is.
    """

    def __init__(
        self,
        ranges: Mapping[str, ChannelRanges],
        *,
        saturates: bool,
        layers: Collection[str] | None = None,
        rounding: Mapping[str, Gptq] | None = None,
    ) -> None:
        """``ranges``: of inputs by name, from ``ranges.observe_channels``; ``saturates``: see ``weights``."""
        self.ranges = ranges
        self.saturates = saturates
        self.layers = layers
        self.rounding = rounding or {}

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Quantise layer by layer; an input that several read is quantised once."""
        inputs: dict[ir.Value, _Input] = {}
        modified = False
        for layer in quantisable(model.graph):
            data = present(layer.node.inputs[0])
            if not is_among(layer.node, self.layers) or data.name not in self.ranges:
                continue
            if data not in inputs:
                inputs[data] = _quantised(layer.node, data, self.ranges[str(data.name)])
            self._rewrite(layer, inputs[data])
            modified = True
        if modified:
            model.opset_imports.setdefault(MICROSOFT, 1)
        return ir.passes.PassResult(model, modified)

    def _rewrite(self, layer: Layer, data: "_Input") -> None:
        node, graph = layer.node, present(layer.node.graph)
        rounding = self.rounding.get(layer.name)
        rows = layer.rows * data.scale
        quantise = quantize_channels if rounding is None else rounding.scaled(1 / data.scale).centred()
        quantised, scale = quantise(rows, (), saturates=self.saturates)
        floats = quantised * scale[:, None].astype(np.float64)
        bias = present(weights(node.inputs[2])) if len(node.inputs) > 2 and node.inputs[2] else 0.0
        bias = bias - floats @ data.zero_point
        if rounding is not None:
            bias = bias + (rows - floats) @ (rounding.mean / data.scale)
        # Its channels' scales and zero points are in the weights and the bias.
        whole = Quantised(
            data.quantised,
            initializer(graph, f"{layer.name}_one", np.array(1, np.float32)),
            initializer(graph, f"{layer.name}_zero", np.array(0, np.uint8)),
        )
        added = initializer(graph, f"{layer.name}_bias", np.asarray(bias, np.float32))
        put_in_place(node, multiply(node, whole, matrix(graph, layer.name, quantised, scale), added))


@dataclass(frozen=True)
class _Input:
    """A value as u8 with channels last, and what its numbers mean, by channel."""

    quantised: ir.Value
    scale: npt.NDArray[np.float64]
    zero_point: npt.NDArray[np.float64]


def quantisable(graph: ir.Graph) -> list[Layer]:
    """The convolutions that rule 1 names, in the order of the graph."""
    return [layer for layer in layers_of(graph) if layer.node.op_type == "Conv" and _qualifies(layer)]


def _qualifies(layer: Layer) -> bool:
    node, kernel = layer.node, layer.shape[2:]
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    return (
        layer.rows.size >= _MIN_WEIGHTS
        and set(kernel) == {1}
        and layer.groups == 1
        and set(node.attributes.get_ints("strides", [1])) == {1}
        and not any(node.attributes.get_ints("pads", []))
        and (bias is None or weights(bias) is not None)
    )


def _quantised(before: ir.Node, data: ir.Value, ranges: ChannelRanges) -> _Input:
    low, high = ranges
    channels = len(low)
    if _has_channels_last(data):
        low, high = np.full(channels, low.min()), np.full(channels, high.max())
    scale, zero_point = scales_and_zero_points(low, high)
    one = _has_channels_last(data)
    graph = present(before.graph)
    parameters = [
        initializer(graph, f"{data.name}_scale", scale[0] if one else scale),
        initializer(graph, f"{data.name}_zero", zero_point[0] if one else zero_point),
    ]
    rank = len(present(weights(before.inputs[1])).shape)
    rounded = insert(before, "QuantizeLinear", [data, *parameters], {} if one else {"axis": 1})
    last = insert(before, "Transpose", rounded.outputs, {"perm": [0, *range(2, rank), 1]})
    return _Input(last.outputs[0], scale.astype(np.float64), zero_point.astype(np.float64))


def _has_channels_last(value: ir.Value) -> bool:
    """Whether ONNX Runtime would move the quantisation before a Transpose that gives ``value``."""
    node = value.producer()
    while node is not None and node.domain == "" and node.op_type in UNARY | SCALAR:
        node = node.inputs[0].producer() if node.inputs[0] is not None else None
    return node is not None and node.op_type == "Transpose"
