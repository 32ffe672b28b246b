"""Layers that multiply by constant weights: each a matrix [channels, reduced], what it reads as rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from optimizer.passes._graph import Array, Floats, constant, nodes, present, weights
from optimizer.quantize.weights import Order, channels_last_order


@dataclass(frozen=True)
class Layer:
    """Conv, MatMul or Gemm: its weights by output channel, and the orders in which kernels walk them."""

    node: ir.Node
    rows: Floats
    orders: tuple[Order, ...]
    shape: tuple[int, ...]
    transposed: bool

    @property
    def name(self) -> str:
        """The name of its first output."""
        return str(self.node.outputs[0].name)

    @property
    def input(self) -> str:
        """The name of what it multiplies its weights by."""
        return str(present(self.node.inputs[0]).name)

    @property
    def groups(self) -> int:
        """Of a Conv; 1 for the others."""
        return self.node.attributes.get_int("group", 1)

    @property
    def axis(self) -> int:
        """The axis of the stored weights that is the output channels."""
        return 1 if self.transposed else 0

    def stored(self, rows: Array) -> Array:
        """Other rows in the shape of the node's weights."""
        return np.ascontiguousarray((rows.T if self.transposed else rows).reshape(self.shape))


def layers_of(graph: ir.Graph) -> list[Layer]:
    """All Conv, MatMul and Gemm by constant, finite float32 weights, in the order of the graph."""
    found = (_layer(node) for node in nodes(graph, "Conv", "MatMul", "Gemm"))
    return [layer for layer in found if layer is not None]


def _layer(node: ir.Node) -> Layer | None:
    weight, data = weights(node.inputs[1]), node.inputs[0]
    if weight is None or weight.dtype != np.float32 or not weight.size or not np.isfinite(weight).all():
        return None
    if data is None or constant(data) is not None:
        return None
    if node.op_type == "Conv":
        orders = (channels_last_order(weight.shape[1:]),) if weight[0, 0].size > 1 else ()
        return Layer(node, weight.reshape(weight.shape[0], -1), orders, weight.shape, transposed=False)
    if weight.ndim != 2 or (node.op_type == "Gemm" and node.attributes.get_int("transA", 0) == 1):
        return None
    by_row = node.op_type == "Gemm" and node.attributes.get_int("transB", 0) == 1
    return Layer(node, weight if by_row else weight.T, (), weight.shape, transposed=not by_row)


def read_rows(
    layer: Layer, data: npt.NDArray[np.float32], places: int, random: np.random.Generator
) -> Floats:
    """At most ``places`` rows [reduced] of what the layer multiplies: patches of a Conv, vectors of a MatMul.

    Of a grouped Conv nothing: each group reads other channels.
    """
    if layer.node.op_type != "Conv":
        rows = data.reshape(-1, data.shape[-1])
        return rows[_some(len(rows), places, random)]
    if layer.groups != 1:
        return np.empty((0, layer.rows.shape[1]), np.float32)
    kernel = layer.shape[2:]
    rank = len(kernel)
    strides = layer.node.attributes.get_ints("strides", [1] * rank)
    dilations = layer.node.attributes.get_ints("dilations", [1] * rank)
    extent = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    padded = np.pad(data, [(0, 0), (0, 0), *_pads(layer.node, data.shape[2:], extent, strides)])
    counts = [
        max((size - e) // s + 1, 0) for size, e, s in zip(padded.shape[2:], extent, strides, strict=True)
    ]
    chosen = _some(len(data) * int(np.prod(counts)), places, random)
    batch, *at = np.unravel_index(chosen, (len(data), *counts))
    # [places, 1, ...kernel] of each axis, so that one look-up takes all patches.
    index = [(at[i] * strides[i])[:, None] + np.arange(kernel[i]) * dilations[i] for i in range(rank)]
    index = [
        ix.reshape(len(chosen), *(-1 if j == i else 1 for j in range(rank))) for i, ix in enumerate(index)
    ]
    places_of: tuple[Any, ...] = (batch.reshape(-1, *[1] * rank), slice(None), *index)
    patches: npt.NDArray[np.float32] = padded[places_of]
    return np.moveaxis(patches, -1, 1).reshape(len(chosen), -1)


def _some(count: int, places: int, random: np.random.Generator) -> Order:
    return np.arange(count) if count <= places else random.integers(0, count, places)


def _pads(
    node: ir.Node, sizes: tuple[int, ...], extent: list[int], strides: Sequence[int]
) -> list[tuple[int, int]]:
    rank = len(sizes)
    auto = node.attributes.get_string("auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        totals = [
            max((-(-size // s) - 1) * s + e - size, 0)
            for size, e, s in zip(sizes, extent, strides, strict=True)
        ]
        small = [total // 2 for total in totals]
        large = [total - half for total, half in zip(totals, small, strict=True)]
        return list(
            zip(small, large, strict=True) if auto == "SAME_UPPER" else zip(large, small, strict=True)
        )
    pads = list(node.attributes.get_ints("pads", [0] * 2 * rank)) if auto != "VALID" else [0] * 2 * rank
    return list(zip(pads[:rank], pads[rank:], strict=True))
