"""What of a graph may be trained: weights, biases and scales, each in steps of its own.

A parameter is its start plus a number of *steps* for each element, which begin at zero: so one learning rate
fits all, and what training left alone is written back byte by byte as it was. A step is

- of whole numbers (int8 weights, int32 biases of convolutions): one of them for weights, 1/127 of the largest
  for biases
- of a scale: what moves the largest weight or activation that it scales by one whole number
- of floats: 1/127 of the largest of each output channel, as if they were quantised, too

Learned scales: Esser, McKinstry, Bablani, Appuswamy, Modha: "Learned Step Size Quantization", 2020.
"""

from typing import Literal

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor, nn

from optimizer.passes._graph import Array, constant, present
from optimizer.quantize.weights import LARGEST, LARGEST_PAIR, Order, channels_last_order
from optimizer.train.operators import as_tensor, straight_through

Kind = Literal["weights", "whole", "bias", "scale"]

_SMALLEST = 1e-12
_INT32 = 2**31 - 1
# Which inputs of an operator are trained, if they are initializers; all that matter are among these.
_WEIGHTS = {
    "Add": (0, 1),
    "BatchNormalization": (1, 2),
    "Conv": (1, 2),
    "ConvTranspose": (1, 2),
    "Gemm": (1, 2),
    "LSTM": (1, 2, 3),
    "LayerNormalization": (1, 2),
    "MatMul": (0, 1),
    "MatMulIntegerToFloat": (6,),
    "Mul": (0, 1),
}
_WHOLE = {"DequantizeLinear": (0,), "MatMulInteger": (1,), "MatMulIntegerToFloat": (1,)}
_SCALES = {"DequantizeLinear": (1,), "MatMulIntegerToFloat": (2, 3), "QuantizeLinear": (1,)}


class Parameter(nn.Module):
    """One initializer: where training began, and how many steps it went from there."""

    def __init__(self, name: str, kind: Kind, array: Array, step: Array, limit: Array | None = None) -> None:
        """``limit``: the largest magnitude that each whole number may have."""
        super().__init__()
        self.name, self.kind, self.dtype = name, kind, array.dtype
        self.array = array
        self.start = as_tensor(array.astype(np.float32))
        self.step = as_tensor(step.astype(np.float32))
        self.limit = None if limit is None else as_tensor(limit.astype(np.float32))
        self.steps = nn.Parameter(torch.zeros_like(self.start))

    def forward(self) -> Tensor:
        """Its value now, of float32; whole numbers are whole, and gradients pass as if they were not."""
        if self.kind == "scale":
            return self.start * torch.exp(self.steps * self.step)
        moved = self.start + self.steps * self.step
        if self.kind != "whole" or self.limit is None:
            return moved
        near = torch.minimum(torch.maximum(moved, -self.limit), self.limit)
        return straight_through(near, near.round())

    @property
    def is_moved(self) -> bool:
        """Whether training moved it."""
        return bool((self.steps != 0).any())

    @torch.no_grad()
    def trained(self) -> Array:
        """Its value now as an initializer of the graph holds it."""
        exact = self()
        if self.kind in ("whole", "bias"):
            exact = exact.double().round()
        if self.kind == "bias":
            exact = exact.clamp(-_INT32, _INT32)
        unmoved = (self.steps == 0).cpu().numpy()
        return np.where(unmoved, self.array, exact.cpu().numpy().astype(self.dtype))


def parameters_of(graph: ir.Graph, *, saturates: bool) -> dict[str, Parameter]:
    """By name, the parameters of a graph whose constants are initializers.

    ``saturates``: no two int8 weights that are neighbours may exceed 128 together (``quantize.weights``).
    """
    found: dict[str, Parameter] = {}
    for value in graph.initializers.values():
        array = constant(value)
        uses = list(value.uses())
        if array is None or not uses or array.size == 0 or value.is_graph_output():
            continue
        kinds = {_kind(usage.node, usage.idx, array) for usage in uses}
        kind = kinds.pop() if len(kinds) == 1 else None
        if kind is not None and np.isfinite(array.astype(np.float64)).all():
            found[str(value.name)] = _parameter(value, kind, array, uses[0].node, saturates=saturates)
    return found


def _kind(node: ir.Node, index: int, array: Array) -> Kind | None:
    op_type = node.op_type
    kind: Kind | None = None
    if array.dtype == np.int8 and array.ndim > 1:
        # A Cast is how int8 is stored that is computed with as floats.
        kind = "whole" if index in _WHOLE.get(op_type, ()) or op_type == "Cast" else None
    elif array.dtype == np.int32:
        kind = "bias" if op_type == "DequantizeLinear" and index == 0 else None
    elif array.dtype == np.float32 and _is_scale(node, index):
        kind = "scale" if bool(np.all(np.asarray(array, np.float32) > 0)) else None
    elif array.dtype == np.float32 and array.size > 1:  # numbers alone are constants of formulas
        kind = "weights" if index in _WEIGHTS.get(op_type, ()) else None
    return kind if kind != "scale" or not _scales_a_bias(node) else None


def _is_scale(node: ir.Node, index: int) -> bool:
    if index in _SCALES.get(node.op_type, ()):
        return True
    return node.op_type == "Mul" and _multiplies_whole(node.inputs[1 - index])


def _scales_a_bias(node: ir.Node) -> bool:
    """Such a scale is that of the data times that of the weights, always."""
    stored = constant(node.inputs[0])
    return node.op_type == "DequantizeLinear" and stored is not None and stored.dtype == np.int32


def _multiplies_whole(other: ir.Value | None) -> bool:
    """Whether a factor is the scale that a DynamicQuantizeLinear found, or stored int8 weights as floats."""
    producer = None if other is None else other.producer()
    if other is None or producer is None:
        return False
    if producer.op_type == "Cast":
        stored = constant(producer.inputs[0])
        return stored is not None and stored.dtype == np.int8
    return producer.op_type == "DynamicQuantizeLinear" and other is producer.outputs[1]


def _parameter(value: ir.Value, kind: Kind, array: Array, reader: ir.Node, *, saturates: bool) -> Parameter:
    name = str(value.name)
    if kind == "scale":
        return Parameter(name, kind, array, np.array(1 / LARGEST))
    if kind == "whole":
        limit = _limits(array, reader) if saturates else np.full(array.shape, LARGEST)
        return Parameter(name, kind, array, np.array(1), np.maximum(limit, np.abs(array.astype(np.int16))))
    magnitudes = np.abs(array.astype(np.float64))
    if kind == "weights" and reader.op_type in ("Conv", "MatMul", "Gemm") and array.ndim > 1:
        by_channel = reader.op_type == "Conv" or reader.attributes.get_int("transB", 0) == 1
        axes = tuple(range(1, array.ndim)) if by_channel else (-2,)
        magnitudes = magnitudes.max(axis=axes, keepdims=True)
    else:
        magnitudes = magnitudes.max()
    return Parameter(name, kind, array, np.maximum(magnitudes / LARGEST, _SMALLEST))


def _limits(array: Array, reader: ir.Node) -> Array:
    """How large each weight may become beside any neighbours that stay within their limits, too.

    What a pair leaves of 128 is halved between the two: so that they may move at once.
    """
    is_conv = reader.op_type == "DequantizeLinear" and array.ndim > 2
    rows = np.abs((array.reshape(len(array), -1) if is_conv else array.T).astype(np.int16))
    walks: list[Order] = [np.arange(rows.shape[1])]
    if is_conv:
        walks.append(channels_last_order(array.shape[1:]))
    spare = np.full(rows.shape, 2 * LARGEST, np.int16)
    for walk in walks:
        walked = rows[:, walk]
        left = LARGEST_PAIR - walked[:, 1:] - walked[:, :-1]
        for side in (walk[1:], walk[:-1]):
            spare[:, side] = np.minimum(spare[:, side], left)
    limits: Array = np.minimum(rows + np.maximum(spare, 0) // 2, LARGEST)
    return limits.reshape(array.shape) if is_conv else limits.T


def producer_scale(value: ir.Value | None) -> str | None:
    """The name of the scale by which a DequantizeLinear gives this value."""
    node = None if value is None else value.producer()
    if node is None or node.op_type != "DequantizeLinear":
        return None
    return str(present(node.inputs[1]).name)
