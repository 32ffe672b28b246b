"""Which axes of a node's values are cut together, operator by operator.

A *slot* is a value and one of its axes, and each place along it has a label: the unit that it belongs to, or
``NONE``. A link carries labels from one slot of a node to another. A slot that a node reads or makes without
linking it cannot be cut at all: so what is not known here stays as it is.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from optimizer.passes._graph import constant

Slot = tuple[ir.Value, int]
Labels = npt.NDArray[np.int64]
Together = Callable[[Labels], None]
"""Takes labels of units that can only be cut together."""
Shapes = Mapping[str, tuple[int, ...]]

NONE = -1
_ELEMENTWISE = {
    "Abs", "Add", "BiasGelu", "Cast", "Ceil", "Clip", "Div", "Dropout", "Elu", "Erf", "Exp", "FastGelu",
    "Floor", "Gelu", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "Log", "Max", "Mean", "Min",
    "Mish", "Mul", "Neg", "PRelu", "Pow", "QuickGelu", "Reciprocal", "Relu", "Selu", "Sigmoid", "Sign",
    "Softplus", "Sqrt", "Sub", "Sum", "Tanh", "Where",
}  # fmt: skip
_POOLS = {"AveragePool", "GlobalAveragePool", "GlobalMaxPool", "LpPool", "MaxPool"}
_REDUCTIONS = {"ReduceL1", "ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum"}
_VIEWS = {"Flatten", "Reshape", "Squeeze", "Unsqueeze"}


@dataclass(frozen=True)
class Link:
    """Two slots of a node; what the labels of one are on the other."""

    left: Slot
    right: Slot
    forward: Callable[[Labels, Together], Labels] = lambda labels, _together: labels
    backward: Callable[[Labels, Together], Labels] = lambda labels, _together: labels


def links_of(node: ir.Node, shapes: Shapes) -> list[Link]:
    """All links of a node; ``shapes`` are those of all values that depend on inputs, on one sample."""
    known, linked = _Known(node, shapes), _LINKS.get(node.op_type)
    if linked is None or not known.is_complete or node.domain not in ("", "com.microsoft"):
        return []
    return list(linked(known))


class _Known:
    """A node and the shapes around it."""

    def __init__(self, node: ir.Node, shapes: Shapes) -> None:
        self.node = node
        self._shapes = shapes
        self.inputs = [None if value is None else self._shape(value) for value in node.inputs]
        self.outputs = [self._shape(value) for value in node.outputs if value.name]
        self.is_complete = all(
            shape is not None or value is None for value, shape in zip(node.inputs, self.inputs, strict=True)
        ) and all(shape is not None for shape in self.outputs)

    def _shape(self, value: ir.Value) -> tuple[int, ...] | None:
        array = constant(value)
        return array.shape if array is not None else self._shapes.get(str(value.name))

    def shape(self, index: int) -> tuple[int, ...]:
        """Of an input that is there."""
        return self.inputs[index] or ()

    def out(self, index: int = 0) -> tuple[int, ...]:
        """Of an output."""
        return self.outputs[index] or ()

    def read(self, index: int, axis: int) -> Slot:
        """An input's slot."""
        value = self.node.inputs[index]
        if value is None:
            raise ValueError("no such input")
        return value, axis % len(self.shape(index))

    def made(self, axis: int, index: int = 0) -> Slot:
        """An output's slot."""
        return self.node.outputs[index], axis % len(self.out(index))

    def has(self, index: int) -> bool:
        """Whether an input is there."""
        return index < len(self.node.inputs) and self.node.inputs[index] is not None

    def same(self, index: int, axis: int, out: int | None = None) -> Link:
        """An input's axis is an output's."""
        return Link(self.read(index, axis), self.made(axis if out is None else out))

    def constant(self, index: int) -> list[int] | None:
        """The whole numbers of a constant input."""
        array = constant(self.node.inputs[index]) if self.has(index) else None
        return None if array is None else [int(number) for number in array.reshape(-1)]


def _elementwise(known: _Known, indices: Iterable[int] | None = None) -> Iterator[Link]:
    """Axes are aligned from the right; what is one long is broadcast, and cut never."""
    rank = len(known.out())
    for index in range(len(known.node.inputs)) if indices is None else indices:
        if known.has(index):
            shape = known.shape(index)
            for back in range(1, len(shape) + 1):
                if shape[-back] == known.out()[-back] != 1:
                    yield known.same(index, len(shape) - back, rank - back)


def _view(known: _Known) -> Iterator[Link]:
    """An axis split into several, or several made one: cut along the outermost of them.

    So a head's numbers stay together where heads are split off, and a channel's where a picture is flattened.
    """
    before, after = known.shape(0), known.out()
    if math.prod(before) != math.prod(after) or not math.prod(before):
        return
    left, right = _spans(before), _spans(after)
    for axis, span in left.items():
        others = [other for other, its in right.items() if _overlap(span, its)]
        if not others:
            continue
        first = others[0]
        rivals = [one for one, its in left.items() if _overlap(its, right[first])]
        if rivals[0] == axis and (len(others) == 1 or len(rivals) == 1):
            there, back = _viewed(span, right[first]), _viewed(right[first], span)
            yield Link(known.read(0, axis), known.made(first), there, back)


_Span = tuple[int, int]  # an axis' numbers are so far apart, and its last is before


def _spans(shape: Sequence[int]) -> dict[int, _Span]:
    spans, step = {}, 1
    for axis in reversed(range(len(shape))):
        if shape[axis] > 1:
            spans[axis] = (step, step * shape[axis])
        step *= shape[axis]
    return dict(sorted(spans.items()))


def _overlap(one: _Span, other: _Span) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def _viewed(one: _Span, other: _Span) -> Callable[[Labels, Together], Labels]:
    def carry(labels: Labels, together: Together) -> Labels:
        step, stop = other
        count = stop // step
        if step > one[0]:  # the axis is split, and this is the outer part
            size = step // one[0]
            if len(labels) != count * size:
                return np.full(count, NONE)
            return _blocks(labels, size, together)[::size]
        size = one[0] // step
        return np.repeat(labels, size) if len(labels) * size == count else np.full(count, NONE)

    return carry


def _blocks(labels: Labels, size: int, together: Together) -> Labels:
    """Neighbours, ``size`` of them at a time, are one unit."""
    for block in labels.reshape(-1, size):
        together(block)
    return labels


def _pool(known: _Known) -> Iterator[Link]:
    yield from (known.same(0, axis) for axis in (0, 1))


def _reduction(known: _Known) -> Iterator[Link]:
    attribute = known.node.attributes.get_ints("axes", [])
    axes = known.constant(1) if known.has(1) else list(attribute)
    rank = len(known.shape(0))
    if not axes:
        return
    reduced = {axis % rank for axis in axes}
    kept = known.node.attributes.get_int("keepdims", 1)
    for axis in range(rank):
        if axis not in reduced:
            yield known.same(0, axis, axis if kept else axis - sum(one < axis for one in reduced))


def _transpose(known: _Known) -> Iterator[Link]:
    rank = len(known.shape(0))
    order = known.node.attributes.get_ints("perm", range(rank - 1, -1, -1))
    for out, axis in enumerate(order):
        yield known.same(0, axis, out)


def _but_along(known: _Known) -> Iterator[Link]:
    """Softmax and the like: numbers along one axis depend on each other."""
    axis = known.node.attributes.get_int("axis", -1) % len(known.shape(0))
    for one in range(len(known.shape(0))):
        if one != axis:
            yield known.same(0, one)


def _layer_normalization(known: _Known) -> Iterator[Link]:
    first = known.node.attributes.get_int("axis", -1) % len(known.shape(0))
    for axis in range(first):
        yield known.same(0, axis)


def _batch_normalization(known: _Known) -> Iterator[Link]:
    yield known.same(0, 1)
    for index in (1, 2, 3, 4):
        yield Link(known.read(index, 0), known.made(1))


def _product(known: _Known) -> Iterator[Link]:
    left, right, rank = len(known.shape(0)), len(known.shape(1)), len(known.out())
    if min(left, right) < 2:
        return
    yield Link(known.read(0, -1), known.read(1, -2))
    yield known.same(0, left - 2, rank - 2)
    yield known.same(1, right - 1, rank - 1)
    for index, own in ((0, left), (1, right)):
        for back in range(3, own + 1):
            if known.shape(index)[-back] == known.out()[-back] != 1:
                yield known.same(index, own - back, rank - back)


def _gemm(known: _Known) -> Iterator[Link]:
    attributes = known.node.attributes
    rows, inner = (1, 0) if attributes.get_int("transA", 0) else (0, 1)
    second, columns = (1, 0) if attributes.get_int("transB", 0) else (0, 1)
    yield Link(known.read(0, inner), known.read(1, second))
    yield known.same(0, rows, 0)
    yield known.same(1, columns, 1)
    if known.has(2):
        yield from _elementwise(known, [2])


def _convolution(known: _Known) -> Iterator[Link]:
    weight, groups = known.shape(1), known.node.attributes.get_int("group", 1)
    if groups == 1:
        yield Link(known.read(0, 1), known.read(1, 1))
    elif groups == weight[0] and weight[1] == 1:
        yield Link(known.read(0, 1), known.read(1, 0))
    else:
        return
    yield known.same(1, 0, 1)
    if known.has(2):
        yield known.same(2, 0, 1)


def _transposed_convolution(known: _Known) -> Iterator[Link]:
    if known.node.attributes.get_int("group", 1) == 1:
        yield Link(known.read(0, 1), known.read(1, 0))
        yield known.same(1, 1, 1)
        if known.has(2):
            yield known.same(2, 0, 1)


def _gather(known: _Known) -> Iterator[Link]:
    rank, added = len(known.shape(0)), len(known.shape(1)) - 1
    gathered = known.node.attributes.get_int("axis", 0) % rank
    for axis in range(rank):
        if axis != gathered:
            yield known.same(0, axis, axis if axis < gathered else axis + added)


def _pad(known: _Known) -> Iterator[Link]:
    pads, rank = known.constant(1), len(known.shape(0))
    if pads is not None and len(pads) == 2 * rank:
        for axis in range(rank):
            if pads[axis] == pads[axis + rank] == 0:
                yield known.same(0, axis)


def _resize(known: _Known) -> Iterator[Link]:
    scales = constant(known.node.inputs[2]) if known.has(2) else None
    if scales is not None:
        for axis, scale in enumerate(scales.astype(float)):
            if scale == 1:
                yield known.same(0, axis)


def _parts(slots: Sequence[Slot], lengths: Sequence[int], whole: Slot) -> Iterator[Link]:
    """Slots one behind the other make another."""
    start, total = 0, sum(lengths)
    for slot, length in zip(slots, lengths, strict=True):
        yield Link(slot, whole, _placed(start, total), _taken(start, length))
        start += length


def _placed(start: int, total: int) -> Callable[[Labels, Together], Labels]:
    def carry(labels: Labels, _together: Together) -> Labels:
        whole = np.full(total, NONE)
        whole[start : start + len(labels)] = labels
        return whole

    return carry


def _taken(start: int, length: int) -> Callable[[Labels, Together], Labels]:
    return lambda labels, _together: labels[start : start + length]


def _split(known: _Known) -> Iterator[Link]:
    axis = known.node.attributes.get_int("axis", 0) % len(known.shape(0))
    count = len(known.outputs)
    lengths = [known.out(index)[axis] for index in range(count)]
    yield from _parts([known.made(axis, index) for index in range(count)], lengths, known.read(0, axis))
    for index in range(count):
        for other in range(len(known.shape(0))):
            if other != axis:
                yield Link(known.read(0, other), known.made(other, index))


def _concat(known: _Known) -> Iterator[Link]:
    axis = known.node.attributes.get_int("axis", 0) % len(known.out())
    count = len(known.node.inputs)
    lengths = [known.shape(index)[axis] for index in range(count)]
    yield from _parts([known.read(index, axis) for index in range(count)], lengths, known.made(axis))
    for index in range(count):
        for other in range(len(known.out())):
            if other != axis:
                yield known.same(index, other)


def _attention(known: _Known) -> Iterator[Link]:
    """Heads stay whole; their keys, queries and values go together."""
    shapes, heads = [known.shape(index) for index in range(3)], known.node.attributes.get_int("num_heads", 1)
    plain = not any(known.has(index) for index in (3, 6, 7)) and len(known.outputs) == 1
    if not plain or any(len(shape) != 3 for shape in shapes) or "scale" not in known.node.attributes:
        return
    if known.has(5) and known.shape(5)[1] != 1:
        return
    for index, shape in enumerate(shapes):
        if shape[-1] % heads == 0:
            size, out = shape[-1] // heads, known.out()[-1] // heads
            there, back = _heads(size, out), _heads(out, size)
            yield Link(known.read(index, 2), known.made(2), there, back)


def _heads(size: int, other: int) -> Callable[[Labels, Together], Labels]:
    def carry(labels: Labels, together: Together) -> Labels:
        return np.repeat(_blocks(labels, size, together)[::size], other)

    return carry


_LINKS: Mapping[str, Callable[[_Known], Iterator[Link]]] = {
    **dict.fromkeys(_ELEMENTWISE, _elementwise),
    **dict.fromkeys(_POOLS, _pool),
    **dict.fromkeys(_REDUCTIONS, _reduction),
    **dict.fromkeys(_VIEWS, _view),
    "BatchNormalization": _batch_normalization,
    "Concat": _concat,
    "Conv": _convolution,
    "ConvTranspose": _transposed_convolution,
    "Gather": _gather,
    "Gemm": _gemm,
    "LayerNormalization": _layer_normalization,
    "LogSoftmax": _but_along,
    "MatMul": _product,
    "MultiHeadAttention": _attention,
    "Pad": _pad,
    "Resize": _resize,
    "Softmax": _but_along,
    "Split": _split,
    "Transpose": _transpose,
}
