"""Sequential least squares: a pruned graph's layers refitted, one after the other, to give what they gave.

Each layer that reads what was pruned is fitted to what the original's layer gives, from what the pruned
graph, its earlier layers refitted already, feeds it (He, Zhang, Sun: "Channel Pruning for Accelerating Very
Deep Neural Networks", 2017). Where a residual sum follows, its other side is made up for, too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from onnx_ir.passes import common

from optimizer.external import parse
from optimizer.passes._graph import Array, Floats, constant, initializer, sole_user, weights
from optimizer.prune.cut import Kept
from optimizer.quantize.layers import Layer, layers_of, read_rows
from optimizer.quantize.ranges import with_outputs
from optimizer.runtime import Feeds, optimised_session

Matrix = npt.NDArray[np.float64]

_PLACES = 64  # rows of each sample
_HELD = 8  # one of so many samples only judges
_RIDGES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)  # of the mean second moment
_LONGEST = 4096
_SMALLEST = 1e-12


def compensate(
    original: bytes, pruned: bytes, left: Mapping[str, Kept | None], samples: Sequence[Feeds]
) -> bytes:
    """Refit the layers that ``left`` names, in the graph's order; one that gains nothing stays as it was.

    ``left``: which of a layer's output channels are still there; None: all.
    """
    graph = parse(original).graph
    teachers = {layer.name: layer for layer in layers_of(graph) if layer.name in left}
    order = [layer.name for layer in layers_of(parse(pruned).graph) if layer.name in teachers]
    data = pruned
    for name in order:
        data = _refitted(original, data, _Teacher(teachers[name], left[name]), samples)
    return data


class _Teacher:
    """The original's layer, as far as its output channels are left."""

    def __init__(self, layer: Layer, left: Kept | None) -> None:
        kept = slice(None) if left is None else left
        bias = _bias(layer)
        self.layer = layer
        self.name = layer.name
        self._weights = layer.rows[kept].T.astype(np.float64)
        self._offset = 0 if bias is None else bias.array.reshape(-1)[kept]

    def gives(self, rows: Matrix) -> Matrix:
        """For rows [any, reduced]."""
        answers: Matrix = rows @ self._weights + self._offset
        return answers


def _refitted(original: bytes, pruned: bytes, teacher: _Teacher, samples: Sequence[Feeds]) -> bytes:
    model = parse(pruned)
    layer = next(one for one in layers_of(model.graph) if one.name == teacher.name)
    weight = layer.node.inputs[1]
    if weight is None or len(list(weight.uses())) > 1 or layer.groups != 1 or layer.rows.shape[1] > _LONGEST:
        return pruned
    bias = _bias(layer)
    beside = _beside(layer)
    fitting, judging = _sums((original, pruned), teacher, layer, beside, samples)
    before = np.concatenate(
        [layer.rows.T, (0 if bias is None else bias.array) * np.ones((1, len(layer.rows)))]
    )
    fitted = _fit(fitting, judging, before, with_bias=bias is not None)
    if fitted is None:
        return pruned
    layer.node.replace_input_with(
        1, _new(model.graph, weight, layer.stored(fitted[:-1].T.astype(np.float32)))
    )
    if bias is not None:
        old = bias.node.inputs[bias.index]
        bias.node.replace_input_with(
            bias.index, _new(model.graph, old, fitted[-1].reshape(bias.array.shape).astype(np.float32))
        )
    common.RemoveUnusedNodesPass()(model)
    data: bytes = ir.to_proto(model).SerializeToString(deterministic=True)
    return data


@dataclass(frozen=True)
class _Bias:
    node: ir.Node
    index: int
    array: Floats


def _bias(layer: Layer) -> _Bias | None:
    """What is added to each channel of what a layer gives, in the layer or right behind it."""
    node = layer.node
    if node.op_type in ("Conv", "Gemm"):
        array = weights(node.inputs[2]) if len(node.inputs) > 2 else None
        plain = node.attributes.get_float("alpha", 1.0) == node.attributes.get_float("beta", 1.0) == 1.0
        return (
            _Bias(node, 2, array) if array is not None and array.size == len(layer.rows) and plain else None
        )
    add = sole_user(node.outputs[0])
    if add is None or (add.op_type, add.domain) != ("Add", ""):
        return None
    index = 1 if add.inputs[0] is node.outputs[0] else 0
    array = weights(add.inputs[index])
    return _Bias(add, index, array) if array is not None and array.shape == (len(layer.rows),) else None


def _beside(layer: Layer) -> str | None:
    """What a residual sum adds to what a MatMul gives, behind its bias."""
    bias = _bias(layer)
    if layer.node.op_type != "MatMul":
        return None
    end = layer.node.outputs[0] if bias is None else bias.node.outputs[0]
    add = sole_user(end)
    if add is None or (add.op_type, add.domain) != ("Add", "") or len(add.inputs) != 2:
        return None
    other = add.inputs[1] if add.inputs[0] is end else add.inputs[0]
    return None if other is None or constant(other) is not None or other is end else str(other.name)


class _Sums:
    """E[x x^T], E[x y^T] and E[y^2], where x is what a layer reads, and 1, and y what it is to give."""

    def __init__(self, reduced: int, channels: int) -> None:
        self.second = np.zeros((reduced + 1, reduced + 1))
        self.cross = np.zeros((reduced + 1, channels))
        self._size = 0.0

    def add(self, rows: Matrix, target: Matrix) -> None:
        """Take rows [any, reduced]; those of a sample with values that are not finite are left out."""
        if np.isfinite(rows).all() and np.isfinite(target).all():
            rows = np.concatenate([rows, np.ones((len(rows), 1))], axis=1)
            self.second += rows.T @ rows
            self.cross += rows.T @ target
            self._size += float(np.square(target).sum())

    def error(self, weights: Matrix) -> float:
        """The squared error of weights [reduced and 1, channels]."""
        return float(
            np.sum(weights * (self.second @ weights)) - 2 * np.sum(weights * self.cross) + self._size
        )


def _sums(
    models: tuple[bytes, bytes], teacher: _Teacher, layer: Layer, beside: str | None, samples: Sequence[Feeds]
) -> tuple[_Sums, _Sums]:
    """To fit on, and to judge on."""
    layers = teacher.layer, layer
    wanted = [[one.input, *([beside] if beside else [])] for one in layers]
    sessions = [
        optimised_session(with_outputs(model, [name for name in names if name not in samples[0]]))
        for model, names in zip(models, wanted, strict=True)
    ]
    channels, reduced = layer.rows.shape
    found = _Sums(reduced, channels), _Sums(reduced, channels)
    for number, feeds in enumerate(samples):
        seen = []
        for session, names in zip(sessions, wanted, strict=True):
            outputs = [name for name in names if name not in feeds]
            seen.append({**feeds, **dict(zip(outputs, session.run(outputs, dict(feeds)), strict=True))})
        # The same dice for both: the same places.
        theirs, ours = (
            read_rows(one, values[one.input], _PLACES, np.random.default_rng(number)).astype(np.float64)
            for one, values in zip(layers, seen, strict=True)
        )
        target = teacher.gives(theirs)
        if beside is not None and seen[0][beside].shape == seen[1][beside].shape:
            gap = (seen[0][beside].astype(np.float64) - seen[1][beside]).reshape(-1, channels)
            if len(gap) > len(target):
                gap = gap[np.random.default_rng(number).integers(0, len(gap), len(target))]
            target += gap
        found[number % _HELD == 0].add(ours, target)
    return found


def _fit(fitting: _Sums, judging: _Sums, before: Matrix, *, with_bias: bool) -> Matrix | None:
    """The ridge regression that is best on the samples that judge; None where it is no better than before."""
    used = slice(None) if with_bias else slice(None, -1)
    second, cross = fitting.second[used, used], fitting.cross[used]
    count = len(fitting.second) - 1
    size = float(np.trace(fitting.second[:-1, :-1])) / count + _SMALLEST
    best, least = None, judging.error(before)
    for ridge in _RIDGES:
        damping = ridge * size * np.eye(len(second))
        fitted = before.copy()
        fitted[used] = np.linalg.solve(second + damping, cross + damping @ before[used])
        error = judging.error(fitted)
        if error < least:
            best, least = fitted, error
    return best


def _new(graph: ir.Graph, old: ir.Value | None, array: Array) -> ir.Value:
    return initializer(graph, str(old.name if old is not None else "weight"), np.ascontiguousarray(array))
