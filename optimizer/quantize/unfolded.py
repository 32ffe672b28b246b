"""Convolutions as int8 matrix products of their unfolded input, which is quantised as it comes."""

import itertools
import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import onnx_ir as ir

from optimizer.passes._graph import initializer, insert, is_among, present, weights
from optimizer.quantize import pointwise
from optimizer.quantize._channels_last import put_in_place
from optimizer.quantize._products import MICROSOFT, Quantised, matrix, multiply
from optimizer.quantize.layers import Layer, layers_of
from optimizer.quantize.weights import Rounding, quantize_channels

# Below this a multiplication costs less than what is done for it.
_MIN_WEIGHTS, _MIN_CHANNELS = 4096, 16
_MOST_PLACES = 25


class QuantizeUnfolded(ir.passes.InPlacePass):
    """Compute convolutions as u8 x s8 products with float results (``MatMulIntegerToFloat``).

    1. Conv of one group with constant float32 weights of 16 output channels and 4096 weights or more, a
       kernel of up to 25 places (or, along one axis, whole strides), padding in numbers. Those of
       ``quantize.pointwise`` are left to it.
    2. The input goes through DynamicQuantizeLinear, once however many read it: each sample has a range of its
       own, so that one with outliers does not set the steps of all others. It is padded with its own zero.
    3. Channels are put last, and what each place of the kernel reads is a Slice; beside each other they are
       the rows of a matrix (im2col), of bytes, so that this costs little beside the product.
    4. The result is float: it is not rounded a second time, as QLinearConv would.
    5. With ``twice``, what the first rounding loses is rounded to bytes, too, and multiplied by the same
       weights: activations as exact as 16 bits would make them, for twice the products.
    6. ``rounding``, by layer, rounds the weights of those that it has; the rest are rounded to the nearest.
    """

    def __init__(
        self,
        *,
        saturates: bool,
        layers: Collection[str] | None = None,
        rounding: Mapping[str, Rounding] | None = None,
        twice: bool = False,
    ) -> None:
        """``saturates``: the target may lack VNNI (see ``weights``)."""
        self.saturates = saturates
        self.twice = twice
        self.layers = layers
        self.rounding = rounding or {}

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Quantise all that qualify."""
        inputs: dict[ir.Value, list[ir.Node]] = {}
        for layer in quantisable(model.graph):
            if not is_among(layer.node, self.layers):
                continue
            data = present(layer.node.inputs[0])
            if data not in inputs:
                # Stands before its first reader.
                inputs[data] = [insert(layer.node, "DynamicQuantizeLinear", [data], outputs=3)]
                if self.twice:
                    inputs[data].append(_rest(layer.node, data, inputs[data][0]))
            self._rewrite(layer, inputs[data])
        if inputs:
            model.opset_imports.setdefault(MICROSOFT, 1)
        return ir.passes.PassResult(model, modified=bool(inputs))

    def _rewrite(self, layer: Layer, inputs: Sequence[ir.Node]) -> None:
        node, graph = layer.node, present(layer.node.graph)
        rounding = self.rounding.get(layer.name, quantize_channels)
        quantised, scale = rounding(layer.rows, layer.orders, saturates=self.saturates)
        by_place = np.moveaxis(quantised.reshape(layer.shape), 1, -1).reshape(len(scale), -1)
        by = matrix(graph, layer.name, by_place, scale)
        bias = node.inputs[2] if len(node.inputs) > 2 else None
        products = []
        for data in inputs:
            rows = Quantised(_unfolded(node, data, layer.shape[2:]), *data.outputs[1:])
            products.append(multiply(node, rows, by, bias))
            bias = None
        put_in_place(node, products[0] if len(products) == 1 else insert(node, "Add", products).outputs[0])


def quantisable(graph: ir.Graph) -> list[Layer]:
    """The convolutions that rule 1 names, in the order of the graph."""
    others = {layer.name for layer in pointwise.quantisable(graph)}
    return [layer for layer in layers_of(graph) if layer.name not in others and _qualifies(layer)]


def _qualifies(layer: Layer) -> bool:
    node = layer.node
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    return (
        node.op_type == "Conv"
        and layer.groups == 1
        and layer.rows.size >= _MIN_WEIGHTS
        and len(layer.rows) >= _MIN_CHANNELS
        and _count(layer) <= _MOST_PLACES
        and node.attributes.get_string("auto_pad", "NOTSET") in ("NOTSET", "VALID")
        and (bias is None or weights(bias) is not None)
    )


def _count(layer: Layer) -> int:
    """How many slices its input is unfolded into."""
    kernel = layer.shape[2:]
    strides = layer.node.attributes.get_ints("strides", [1])[0] if _is_of_strides(layer.node, kernel) else 1
    return math.prod(kernel) // strides


def _rest(before: ir.Node, data: ir.Value, quantised: ir.Node) -> ir.Node:
    """What the rounding of ``data`` lost, quantised."""
    rounded = insert(before, "DequantizeLinear", quantised.outputs).outputs[0]
    rest = insert(before, "Sub", [data, rounded]).outputs[0]
    return insert(before, "DynamicQuantizeLinear", [rest], outputs=3)


def _unfolded(conv: ir.Node, data: ir.Node, kernel: Sequence[int]) -> ir.Value:
    """The rows that the product multiplies: [batch, *places, kernel and channels]."""
    rank = len(kernel)
    strides = conv.attributes.get_ints("strides", [1] * rank)
    dilations = conv.attributes.get_ints("dilations", [1] * rank)
    value = insert(conv, "Transpose", data.outputs[:1], {"perm": [0, *range(2, rank + 2), 1]}).outputs[0]
    pads = list(conv.attributes.get_ints("pads", []))
    if any(pads):
        around = _numbers(conv, [0, *pads[:rank], 0, 0, *pads[rank:], 0])
        value = insert(conv, "Pad", [value, around, data.outputs[2]]).outputs[0]
    if _is_of_strides(conv, kernel):
        value = _by_stride(conv, value, strides[0])
        kernel, strides = [kernel[0] // strides[0]], [1]
    axes = _numbers(conv, range(1, rank + 1))
    steps = _numbers(conv, strides)
    places = []
    for place in itertools.product(*map(range, kernel)):
        starts = [at * dilation for at, dilation in zip(place, dilations, strict=True)]
        # As far from the end as the kernel's last place is from this one; 0 would be the beginning.
        ends = [
            start - (length - 1) * dilation or np.iinfo(np.int64).max
            for start, length, dilation in zip(starts, kernel, dilations, strict=True)
        ]
        slice_inputs = [value, _numbers(conv, starts), _numbers(conv, ends), axes, steps]
        places.append(insert(conv, "Slice", slice_inputs).outputs[0])
    return places[0] if len(places) == 1 else insert(conv, "Concat", places, {"axis": -1}).outputs[0]


def _is_of_strides(conv: ir.Node, kernel: Sequence[int]) -> bool:
    """Whether a kernel along one axis is a number of whole strides, as in windows that overlap."""
    stride = conv.attributes.get_ints("strides", [1])[0]
    dilation = conv.attributes.get_ints("dilations", [1])[0]
    return len(kernel) == 1 and stride > 1 and dilation == 1 and kernel[0] % stride == 0


def _by_stride(conv: ir.Node, value: ir.Value, stride: int) -> ir.Value:
    """[batch, length, channels] as [batch, length / stride, stride and channels]; what is over is cut off."""
    length = insert(conv, "Shape", [value], {"start": 1, "end": 2}).outputs[0]
    count = insert(conv, "Div", [length, _numbers(conv, [stride])]).outputs[0]
    whole = insert(conv, "Mul", [count, _numbers(conv, [stride])]).outputs[0]
    first, axis = _numbers(conv, [0]), _numbers(conv, [1])
    value = insert(conv, "Slice", [value, first, whole, axis]).outputs[0]
    channels = present(weights(conv.inputs[1])).shape[1]
    return insert(conv, "Reshape", [value, _numbers(conv, [0, -1, stride * channels])]).outputs[0]


def _numbers(conv: ir.Node, numbers: Sequence[int]) -> ir.Value:
    return initializer(present(conv.graph), f"{conv.outputs[0].name}_n", np.array(numbers, np.int64))
