"""Weights that are stored small and computed with as floats."""

from collections.abc import Collection, Mapping

import numpy as np
import onnx_ir as ir

from optimizer.passes._graph import initializer, insert, is_among, present, weights
from optimizer.quantize.gptq import Gptq
from optimizer.quantize.layers import Layer, layers_of
from optimizer.quantize.weights import quantize_channels

_MIN_WEIGHTS = 1024
_LARGEST_HALF = float(np.finfo(np.float16).max)


class StoreWeights(ir.passes.InPlacePass):
    """Store the weights of Conv, MatMul and Gemm in int8 with a scale by output channel, or in float16.

    1. Cast and Mul, or Cast, give float32 again. ONNX Runtime computes them once, when it loads the
       ``.onnx``, and what runs is the float kernel. (It would not compute a DequantizeLinear then, but in
       every run.) A ``.ort`` holds the floats again: only the ``.onnx`` is small.
    2. int8 weights are rounded by GPTQ where there is a rounding for the layer; the mean error that they make
       goes into the bias of a Conv that has one.
    3. Grouped convolutions are always stored in float16: they have few weights, and are sensitive.
    4. Fewer than 1,024 weights stay as they are, and in float16 those beyond its range.
    5. Weights that several layers share are stored by the first.
    """

    def __init__(
        self,
        *,
        half: bool = False,
        layers: Collection[str] | None = None,
        rounding: Mapping[str, Gptq] | None = None,
    ) -> None:
        """``half``: float16 and no rounding to speak of."""
        self.half = half
        self.layers = layers
        self.rounding = rounding or {}

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Store layer by layer."""
        stored: dict[ir.Value, ir.Value] = {}
        for layer in storable(model.graph):
            half = self.half or layer.groups > 1
            if not is_among(layer.node, self.layers) or (half and _overflows(layer)):
                continue
            value = present(layer.node.inputs[1])
            if value not in stored:
                stored[value] = self._half(layer) if half else self._int8(layer)
            layer.node.replace_input_with(1, stored[value])
        return ir.passes.PassResult(model, modified=bool(stored))

    def _half(self, layer: Layer) -> ir.Value:
        name = f"{layer.name}_f16"
        small = initializer(present(layer.node.graph), name, layer.stored(layer.rows).astype(np.float16))
        return insert(layer.node, "Cast", [small], {"to": int(ir.DataType.FLOAT)}).outputs[0]

    def _int8(self, layer: Layer) -> ir.Value:
        node, graph = layer.node, present(layer.node.graph)
        rounding, bias = self.rounding.get(layer.name), _bias(layer)
        if rounding is None:
            quantised, scale = quantize_channels(layer.rows, saturates=False)
        elif bias is None:
            quantised, scale = rounding(layer.rows, saturates=False)
        else:
            quantised, scale = rounding.centred()(layer.rows, saturates=False)
            error = layer.rows - quantised * scale[:, None].astype(np.float64)
            corrected = (present(weights(bias)) + error @ rounding.mean).astype(np.float32)
            node.replace_input_with(2, initializer(graph, f"{layer.name}_bias", corrected))
        shape = [1] * len(layer.shape)
        shape[layer.axis] = len(scale)
        small = initializer(graph, f"{layer.name}_s8", layer.stored(quantised))
        floats = insert(node, "Cast", [small], {"to": int(ir.DataType.FLOAT)}).outputs[0]
        factors = initializer(graph, f"{layer.name}_scale", scale.reshape(shape))
        return insert(node, "Mul", [floats, factors]).outputs[0]


def storable(graph: ir.Graph) -> list[Layer]:
    """The layers that rule 4 leaves, in the order of the graph."""
    return [layer for layer in layers_of(graph) if layer.rows.size >= _MIN_WEIGHTS]


def _bias(layer: Layer) -> ir.Value | None:
    """The constant bias of a Conv."""
    if layer.node.op_type != "Conv" or len(layer.node.inputs) < 3:
        return None
    return layer.node.inputs[2] if weights(layer.node.inputs[2]) is not None else None


def _overflows(layer: Layer) -> bool:
    return float(np.abs(layer.rows).max()) > _LARGEST_HALF
