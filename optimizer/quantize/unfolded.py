"""Convolutions as int8 matrix products of their unfolded input, which is quantised as it comes."""

import itertools
import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import onnx_ir as ir

from optimizer.passes._graph import initializer, insert, is_among, present, weights
from optimizer.quantize import pointwise
from optimizer.quantize._channels_last import MICROSOFT, put_in_place
from optimizer.quantize.layers import Layer, layers_of
from optimizer.quantize.weights import Rounding, quantize_channels

# Below this a multiplication costs less than what is done for it.
_MIN_WEIGHTS, _MIN_CHANNELS = 4096, 16
_MOST_PLACES = 25


class QuantizeUnfolded(ir.passes.InPlacePass):
    """Compute convolutions as u8 x s8 products with float results (``MatMulIntegerToFloat``).

    1. Conv of one group with constant float32 weights of 16 output channels and 4096 weights or more, a
       kernel of up to 25 places, padding in numbers. Those of ``quantize.pointwise`` are left to it.
    2. The input goes through DynamicQuantizeLinear, once however many read it: each sample has a range of its
       own, so that one with outliers does not set the steps of all others. It is padded with its own zero.
    3. Channels are put last, and what each place of the kernel reads is a Slice; beside each other they are
       the rows of a matrix (im2col), of bytes, so that this costs little beside the product.
    4. The result is float: it is not rounded a second time, as QLinearConv would.
    5. ``rounding``, by layer, rounds the weights of those that it has; the rest are rounded to the nearest.
    """

    def __init__(
        self,
        *,
        saturates: bool,
        layers: Collection[str] | None = None,
        rounding: Mapping[str, Rounding] | None = None,
    ) -> None:
        """``saturates``: the target may lack VNNI (see ``weights``)."""
        self.saturates = saturates
        self.layers = layers
        self.rounding = rounding or {}

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Quantise all that qualify."""
        inputs: dict[ir.Value, ir.Node] = {}
        for layer in quantisable(model.graph):
            if not is_among(layer.node, self.layers):
                continue
            data = present(layer.node.inputs[0])
            if data not in inputs:
                # Stands before its first reader.
                inputs[data] = insert(layer.node, "DynamicQuantizeLinear", [data], outputs=3)
            self._rewrite(layer, inputs[data])
        if inputs:
            model.opset_imports.setdefault(MICROSOFT, 1)
        return ir.passes.PassResult(model, modified=bool(inputs))

    def _rewrite(self, layer: Layer, data: ir.Node) -> None:
        node, graph = layer.node, present(layer.node.graph)
        rounding = self.rounding.get(layer.name, quantize_channels)
        quantised, scale = rounding(layer.rows, layer.orders, saturates=self.saturates)
        by_place = np.moveaxis(quantised.reshape(layer.shape), 1, -1).reshape(len(scale), -1)
        bias = node.inputs[2] if len(node.inputs) > 2 else None
        product = ir.node(
            "MatMulIntegerToFloat",
            [
                _unfolded(node, data, layer.shape[2:]),
                initializer(graph, f"{layer.name}_s8", np.ascontiguousarray(by_place.T)),
                data.outputs[1],
                initializer(graph, f"{layer.name}_scale", scale),
                data.outputs[2],
                initializer(graph, f"{layer.name}_zeros", np.zeros(len(scale), np.int8)),
                bias,
            ],
            domain=MICROSOFT,
        )
        graph.insert_before(node, product)
        put_in_place(node, product.outputs[0])


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
        and math.prod(layer.shape[2:]) <= _MOST_PLACES
        and node.attributes.get_string("auto_pad", "NOTSET") in ("NOTSET", "VALID")
        and (bias is None or weights(bias) is not None)
    )


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


def _numbers(conv: ir.Node, numbers: Sequence[int]) -> ir.Value:
    return initializer(present(conv.graph), f"{conv.outputs[0].name}_n", np.array(numbers, np.int64))
