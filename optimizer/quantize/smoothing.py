"""Scales and shifts that make the channels of an activation alike before it is quantised.

Xiao, Lin, Seznec, Wu, Demouth, Han: "SmoothQuant", 2022, eq. 4: s_j = max|x_j|^a / max|w_j|^(1-a). Shifting
channels to their middle is from Wei et al., "Outlier Suppression+", 2023; taking a few out of the quantised
product from Dettmers et al., "LLM.int8()", 2022.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from optimizer.external import parse
from optimizer.passes._graph import (
    Array,
    Floats,
    initializer,
    insert,
    is_among,
    present,
    sole_user,
    split_constant,
    weights,
)
from optimizer.quantize._absorb import Columns, Norm, find_place
from optimizer.quantize.dynamic import quantisable
from optimizer.quantize.ranges import with_outputs
from optimizer.quantize.weights import quantize_channels
from optimizer.runtime import Feeds, optimised_session

_ROWS = 12  # of each sample, beside the extremes of its channels
_ALPHAS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_FIRST = 4
_MOST_EXACT = 4
# Channels are outliers if the largest of them is so many times the largest of the others.
_GAP = 1.5
_LEVELS = 255
# Operators of their own must bring the error down to this share.
_WORTH = 0.85
_WORTH_EXACT = 0.75


@dataclass(frozen=True)
class Smoothing:
    """An activation is read as (x - shift) / scale, by channel; ``exact`` channels are multiplied as floats.

    ``alpha`` is what it was made with, ``error`` the relative error that it leaves in what the layers give on
    calibration data, and ``plain_error`` the same without it. ``free``: it costs no operator.
    """

    scale: npt.NDArray[np.float32]
    shift: npt.NDArray[np.float32]
    exact: tuple[int, ...]
    alpha: float
    error: float
    plain_error: float = 0.0
    free: bool = False


class Smooth(ir.passes.InPlacePass):
    """Smooth what MatMuls read, and undo it in their weights: the same function, that loses less in int8.

    1. ``plan``, by the name of the value that is read, says how. All MatMuls by constant weights that
       ``quantize.dynamic`` could treat, and that ``layers`` names (None: all), read the smoothed value.
    2. Scale and shift go into what makes the value where that is possible (``_absorb``), else into a Mul
       and, for a shift, an Add.
    3. The weights' rows are multiplied by the scale; what the shift takes away is added to the bias that
       follows, or by an Add.
    4. Exact channels are 0 in the smoothed value. A Gather and a MatMul of their own add them again.

    ``FoldAffine`` would undo it: run that before.
    """

    def __init__(self, plan: Mapping[str, Smoothing], *, layers: Collection[str] | None = None) -> None:
        self.plan = plan
        self.layers = layers

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Smooth value by value, in the order of the graph."""
        modified = False
        for value, group in smoothable(model.graph, self.layers).items():
            smoothing = self.plan.get(str(value.name))
            if smoothing is not None and len(smoothing.scale) == _reduced(group[0]):
                _smooth(model.graph, value, group, smoothing)
                modified = True
        return ir.passes.PassResult(model, modified)


def smoothable(graph: ir.Graph, layers: Collection[str] | None = None) -> dict[ir.Value, list[ir.Node]]:
    """The values that could be smoothed, and the MatMuls that read each.

    A MatMul that gives an output of the graph stays as it is: nothing can be added after it.
    """
    groups: dict[ir.Value, list[ir.Node]] = {}
    for node in quantisable(graph):
        if node.op_type == "MatMul" and is_among(node, layers) and not node.outputs[0].is_graph_output():
            groups.setdefault(present(node.inputs[0]), []).append(node)
    return groups


def plan_smoothing(
    model: bytes,
    samples: Iterable[Feeds],
    seed: int,
    *,
    saturates: bool,
    layers: Collection[str] | None = None,
) -> dict[str, Smoothing]:
    """How to smooth each value that layers read, by the error of what they give on the samples.

    Alpha is searched value by value. A shift is used where it costs nothing, and channels are kept exact
    where few outliers are what the error comes from. A value that gains too little for its cost is missing.
    """
    graph = parse(model).graph
    groups = smoothable(graph, layers)
    seen = _observe(model, groups, samples, seed)
    plan = {}
    for value, group in groups.items():
        if value.name in seen:
            weight = np.concatenate([present(weights(node.inputs[1])) for node in group], axis=1)
            best = _search(seen[str(value.name)], weight, find_place(value, group), saturates=saturates)
            if best is not None:
                plan[str(value.name)] = best
    return plan


@dataclass(frozen=True)
class _Seen:
    """Of a value: each sample's extremes by channel [samples, channels], some rows, and each row's sample."""

    low: Floats
    high: Floats
    rows: Floats
    sample: npt.NDArray[np.intp]


def _observe(
    model: bytes, values: Collection[ir.Value], samples: Iterable[Feeds], seed: int
) -> dict[str, _Seen]:
    inputs = [str(value.name) for value in values if value.is_graph_input()]
    names = [str(value.name) for value in values if not value.is_graph_input()]
    session = optimised_session(with_outputs(model, names))
    random = np.random.default_rng(seed)
    kept: dict[str, list[tuple[Floats, Floats, Floats]]] = {name: [] for name in [*names, *inputs]}
    for feeds in samples:
        answers = dict(zip(names, session.run(names, dict(feeds)), strict=True)) if names else {}
        for name, array in [*answers.items(), *((name, feeds[name]) for name in inputs)]:
            rows = array.reshape(-1, array.shape[-1])
            if rows.size and np.isfinite(rows).all():
                chosen = random.permutation(len(rows))[:_ROWS]
                kept[name].append((rows.min(axis=0), rows.max(axis=0), rows[chosen]))
    return {name: _together(parts) for name, parts in kept.items() if parts}


def _together(parts: Sequence[tuple[Floats, Floats, Floats]]) -> _Seen:
    low, high, rows = zip(*parts, strict=True)
    counts = [len(one) for one in rows]
    return _Seen(np.array(low), np.array(high), np.concatenate(rows), np.repeat(np.arange(len(rows)), counts))


class _Trial:
    """One value and the weights that it meets: how large is the error under a scale and a shift."""

    def __init__(self, seen: _Seen, weight: Floats, *, saturates: bool, shifted: bool) -> None:
        self.seen = seen
        self.weight = weight
        self.saturates = saturates
        low, high = seen.low.min(axis=0), seen.high.max(axis=0)
        self.shift = (low + high) / 2 if shifted else np.zeros_like(low)
        self.largest = np.maximum(high - self.shift, self.shift - low)
        self._answer = seen.rows @ weight
        self._size = float(np.linalg.norm(self._answer)) or 1.0

    def best(self, exact: tuple[int, ...] = ()) -> Smoothing:
        """The alpha with the least error, found by walking downhill."""
        tried: dict[int, Smoothing] = {}

        def at(index: int) -> Smoothing:
            if index not in tried:
                alpha = _ALPHAS[index]
                tried[index] = self.tried(self._scale(alpha), self.shift, exact, alpha)
            return tried[index]

        here = _FIRST
        while True:
            near = [index for index in (here - 1, here, here + 1) if 0 <= index < len(_ALPHAS)]
            best = min(near, key=lambda index: at(index).error)
            if best == here:
                return at(here)
            here = best

    def _scale(self, alpha: float) -> Floats:
        """Eq. 4, with half the range of a channel in place of its largest value where it is shifted."""
        largest = np.maximum(self.largest, 1e-3 * float(self.largest.mean()) + 1e-9)
        rows = np.abs(self.weight).max(axis=1)
        rows = np.maximum(rows, 1e-3 * float(rows.mean()) + 1e-9)
        scale = largest**alpha / rows ** (1 - alpha)
        return np.asarray(scale / np.exp(np.log(scale).mean()), np.float32)

    def plain(self) -> Smoothing:
        """No smoothing at all."""
        ones = np.ones_like(self.largest)
        return self.tried(ones, np.zeros_like(ones), (), 0.0)

    def outliers(self) -> tuple[int, ...]:
        """The few channels that reach much further than all others, if there are any."""
        order = np.argsort(-self.largest, kind="stable")[: _MOST_EXACT + 1]
        if len(order) <= _MOST_EXACT:
            return ()
        gaps = self.largest[order[:-1]] / np.maximum(self.largest[order[1:]], 1e-9)
        count = int(np.argmax(gaps)) + 1
        return tuple(int(channel) for channel in order[:count]) if gaps[count - 1] >= _GAP else ()

    def tried(self, scale: Floats, shift: Floats, exact: tuple[int, ...], alpha: float) -> Smoothing:
        """A smoothing with the error that it leaves: of DynamicQuantizeLinear, and of the weights."""
        kept = np.ones(len(scale), np.float32)
        kept[list(exact)] = 0
        low, high = ((extreme - shift) * (kept / scale) for extreme in (self.seen.low, self.seen.high))
        bottom = np.minimum(low.min(axis=1), 0)
        step = (np.maximum(high.max(axis=1), 0) - bottom) / _LEVELS
        step = np.where(step > 0, step, 1)
        zero = np.rint(-bottom / step)[self.seen.sample, None].astype(np.float32)
        step = step[self.seen.sample, None].astype(np.float32)
        rows = (self.seen.rows - shift) * (kept / scale)
        levels = (np.clip(np.rint(rows / step) + zero, 0, _LEVELS) - zero) * step
        whole, by_column = quantize_channels(
            (self.weight * (scale * kept)[:, None]).T, saturates=self.saturates
        )
        beside = shift * kept @ self.weight + self.seen.rows[:, list(exact)] @ self.weight[list(exact)]
        error = levels @ (whole.T * by_column) + beside - self._answer
        return Smoothing(scale, shift, exact, alpha, float(np.linalg.norm(error)) / self._size)


def _search(
    seen: _Seen, weight: Floats, place: Norm | Columns | None, *, saturates: bool
) -> Smoothing | None:
    """The smoothing of least error; what needs operators of its own must be worth them."""
    trial = _Trial(seen, weight, saturates=saturates, shifted=place is not None and place.shifts)
    plain, best = trial.plain(), trial.best()
    outliers = trial.outliers() if place is None else ()
    if outliers:
        apart = trial.best(outliers)
        best = apart if apart.error < _WORTH_EXACT * best.error else best
    best = replace(best, plain_error=plain.error, free=isinstance(place, Columns))
    worth = 1.0 if best.free else _WORTH
    return best if best.error < worth * plain.error else None


def _smooth(graph: ir.Graph, value: ir.Value, group: Sequence[ir.Node], smoothing: Smoothing) -> None:
    place = find_place(value, group) if not smoothing.exact else None
    read = value
    if place is not None and (place.shifts or not smoothing.shift.any()):
        place.absorb(smoothing.scale, smoothing.shift)
    else:
        read = _explicit(group[0], value, smoothing)
    apart = list(smoothing.exact)
    gathered = None
    if apart:
        index = initializer(graph, f"{value.name}_exact", np.array(apart, np.int64))
        gathered = insert(group[0], "Gather", [value, index], {"axis": -1}).outputs[0]
    for node in group:
        matrix = present(node.inputs[1])
        weight = present(weights(matrix))
        scaled = weight * smoothing.scale[:, None]
        scaled[apart] = 0
        node.replace_input_with(0, read)
        node.replace_input_with(1, initializer(graph, f"{matrix.name}_smooth", scaled.astype(np.float32)))
        kept = np.ones((len(weight), 1), np.float32)
        kept[apart] = 0
        end = _add_bias(graph, node, smoothing.shift @ (weight * kept))
        if gathered is not None:
            rows = initializer(graph, f"{matrix.name}_exact", weight[apart])
            product = insert(group[0], "MatMul", [gathered, rows]).outputs[0]
            _add_after(graph, node.outputs[0] if end.is_graph_output() else end, product)


def _explicit(before: ir.Node, value: ir.Value, smoothing: Smoothing) -> ir.Value:
    """(x - shift) / scale as a Mul and, with a shift, an Add."""
    graph = present(before.graph)
    inverse = 1 / smoothing.scale
    inverse[list(smoothing.exact)] = 0
    read = insert(before, "Mul", [value, _floats(graph, f"{value.name}_inverse", inverse)]).outputs[0]
    if not smoothing.shift.any():
        return read
    moved = _floats(graph, f"{value.name}_moved", -smoothing.shift * inverse)
    return insert(before, "Add", [read, moved]).outputs[0]


def _add_bias(graph: ir.Graph, node: ir.Node, bias: Floats) -> ir.Value:
    """Add to what a MatMul gives, in the bias after it if there is one; returns where the sum is."""
    result = node.outputs[0]
    add = sole_user(result)
    parts = split_constant(add) if add is not None and (add.op_type, add.domain) == ("Add", "") else None
    if add is not None and parts is not None and parts[1].shape == bias.shape:
        if bias.any():
            index = 1 if add.inputs[0] is result else 0
            total = parts[1].astype(np.float32) + bias
            add.replace_input_with(index, _floats(graph, str(present(add.inputs[index]).name), total))
        return add.outputs[0]
    return _add_after(graph, result, _floats(graph, f"{result.name}_bias", bias)) if bias.any() else result


def _add_after(graph: ir.Graph, value: ir.Value, other: ir.Value) -> ir.Value:
    """Let all that reads ``value``, which keeps its name, read its sum with another."""
    uses = tuple(value.uses())
    node = ir.node("Add", [value, other])
    graph.insert_after(present(value.producer()), node)
    for usage in uses:
        usage.node.replace_input_with(usage.idx, node.outputs[0])
    return node.outputs[0]


def _floats(graph: ir.Graph, hint: str, array: Array) -> ir.Value:
    return initializer(graph, hint, array.astype(np.float32))


def _reduced(node: ir.Node) -> int:
    return int(present(weights(node.inputs[1])).shape[0])
