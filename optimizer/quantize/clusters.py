"""Weights that share sixteen values: half a byte each in the file, floats when they run."""

from collections.abc import Collection

import numpy as np
import onnx_ir as ir

from optimizer.passes._graph import Array, Floats, initializer, insert, is_among, present
from optimizer.quantize.layers import Layer
from optimizer.quantize.storage import storable

_VALUES = 16
_ROUNDS = 25


class ClusterWeights(ir.passes.InPlacePass):
    """Store the weights of Conv, MatMul and Gemm as numbers of sixteen values, two in a byte.

    1. Weights that have sixteen values or fewer, as those of a model that was clustered before, keep them to
       the bit.
    2. Others are divided by the largest of their output channel; the values are then those of k-means (Lloyd
       1982) in one dimension, an error counting as it does in the layer. Where zeros are frequent, one value
       is zero.
    3. What takes the numbers apart, ONNX Runtime computes once, when it loads the ``.onnx``; a ``.ort`` holds
       the floats again.
    4. Layers of fewer than 1,024 weights, or an odd number of them, stay as they are.
    """

    def __init__(self, layers: Collection[str] | None = None) -> None:
        """``layers``: those to treat; None means all."""
        self.layers = layers

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Store layer by layer; weights that several layers share are stored by the first."""
        stored: dict[ir.Value, ir.Value] = {}
        for layer in clusterable(model.graph):
            if is_among(layer.node, self.layers):
                value = present(layer.node.inputs[1])
                if value not in stored:
                    stored[value] = _stored(layer)
                layer.node.replace_input_with(1, stored[value])
        return ir.passes.PassResult(model, modified=bool(stored))


def clusterable(graph: ir.Graph) -> list[Layer]:
    """The layers that rule 4 leaves, in the order of the graph."""
    return [layer for layer in storable(graph) if layer.rows.size % 2 == 0]


def _stored(layer: Layer) -> ir.Value:
    node, graph = layer.node, present(layer.node.graph)

    def constant(what: str, array: Array) -> ir.Value:
        return initializer(graph, f"{layer.name}_{what}", array)

    values, numbers, scale = _clusters(layer.rows)
    flat = layer.stored(numbers).reshape(2, -1)
    packed = constant("pairs", (flat[0] << 4 | flat[1]).astype(np.uint8))
    four, sixteen = constant("four", np.array(4, np.uint8)), constant("sixteen", np.array(_VALUES, np.uint8))
    first = insert(node, "BitShift", [packed, four], {"direction": "RIGHT"})
    second = insert(node, "Mod", [packed, sixteen])
    both = insert(node, "Concat", [first.outputs[0], second.outputs[0]], {"axis": 0})
    places = insert(node, "Cast", [both.outputs[0]], {"to": int(ir.DataType.INT32)})
    taken = insert(node, "Gather", [constant("values", values), places.outputs[0]], {"axis": 0})
    shape = constant("shape", np.array(layer.shape, np.int64))
    weights = insert(node, "Reshape", [taken.outputs[0], shape])
    if scale is None:
        return weights.outputs[0]
    broadcast = [1] * len(layer.shape)
    broadcast[layer.axis] = len(scale)
    factors = constant("scale", scale.reshape(broadcast))
    return insert(node, "Mul", [weights.outputs[0], factors]).outputs[0]


def _clusters(rows: Floats) -> tuple[Floats, Array, Floats | None]:
    """Sixteen values, which of them each weight is, and what a channel is multiplied by (None: nothing)."""
    distinct, numbers = np.unique(rows, return_inverse=True)
    if len(distinct) <= _VALUES:
        return np.resize(distinct, _VALUES), numbers.reshape(rows.shape).astype(np.uint8), None
    largest = np.abs(rows).max(axis=1)
    scale = np.where(largest > 0, largest, 1).astype(np.float32)
    scaled = (rows / scale[:, None]).astype(np.float64)
    counts = np.broadcast_to(scale[:, None].astype(np.float64) ** 2, rows.shape)
    values = _k_means(scaled.reshape(-1), counts.reshape(-1))
    return values.astype(np.float32), _nearest(scaled, values).astype(np.uint8), scale


def _k_means(points: Floats, counts: Floats) -> Floats:
    """Values of least squared error, in order; each point counts so often."""
    values = np.quantile(points, (np.arange(_VALUES) + 0.5) / _VALUES)
    values += np.linspace(-1e-6, 1e-6, _VALUES)  # apart where a quantile is frequent
    values = (values + np.linspace(-1, 1, _VALUES)) / 2  # some at both ends, where there are few points
    is_sparse = (points == 0).mean() > 1 / _VALUES
    for _ in range(_ROUNDS):
        numbers = _nearest(points, values)
        total = np.bincount(numbers, counts, _VALUES)
        means = np.bincount(numbers, counts * points, _VALUES) / np.where(total > 0, total, 1)
        values = np.sort(np.where(total > 0, means, values))
        if is_sparse:
            values[np.abs(values).argmin()] = 0
    return values


def _nearest(points: Floats, values: Floats) -> Array:
    """The number of the value that each point is nearest to; ``values`` ascend."""
    return np.searchsorted((values[1:] + values[:-1]) / 2, points)
