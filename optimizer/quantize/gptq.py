"""Rounding of weights that lets later weights make up for the errors of earlier ones (GPTQ).

Frantar, Ashkboos, Hoefler, Alistarh: "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained
Transformers", 2022. Per output channel it lessens E[((w - q) x)^2] over the calibration data, which depends
on the inputs by H = E[x x^T] only.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from optimizer.external import parse
from optimizer.quantize.layers import layers_of, read_rows
from optimizer.quantize.ranges import with_outputs
from optimizer.quantize.weights import LARGEST, LARGEST_PAIR, Floats, Order, quantize_channels
from optimizer.runtime import Feeds, optimised_session

# Of each sample at most so many rows of a layer's input are taken: neighbours tell the same.
_PLACES = 64
_AT_ONCE = 2048
_DAMPINGS = (0.01, 0.1, 1.0)
_SMALLEST = 1e-12
_BLOCK = 64
# Longer sums (3x3 convolutions of over 450 channels) would need hundreds of MB and minutes.
_LONGEST = 4096


@dataclass(frozen=True, eq=False)
class Gptq:
    """The rounding for one layer: ``second`` is E[x x^T] of what it reads, ``mean`` is E[x]."""

    second: npt.NDArray[np.float64]
    mean: npt.NDArray[np.float64]

    def __call__(
        self, weight: Floats, orders: Sequence[Order] = (), *, saturates: bool = True
    ) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
        """As ``weights.quantize_channels``: the same scales, other roundings."""
        plain, scale = quantize_channels(weight, orders, saturates=saturates)
        if weight.shape[1] != len(self.mean):
            return plain, scale
        walks = [np.arange(weight.shape[1]), *orders] if saturates else []
        exact = np.asarray(weight, np.float64) / scale[:, None].astype(np.float64)
        return _remembered(exact, self.second, walks), scale

    def scaled(self, factors: npt.NDArray[np.floating]) -> "Gptq":
        """The same for inputs that are multiplied by ``factors`` [reduced]."""
        return Gptq(self.second * np.outer(factors, factors), self.mean * factors)

    def centred(self) -> "Gptq":
        """The same where a bias makes up for the mean error."""
        return Gptq(self.second - np.outer(self.mean, self.mean), self.mean)


def gptq(
    model: bytes, layers: Collection[str] | None, samples: Iterable[Feeds], seed: int
) -> dict[str, Gptq]:
    """What the named layers read on the samples: a rounding for each.

    Grouped convolutions have none, nor have layers that sum over more than 4,096 inputs.
    ``model`` may be quantised upstream of a layer, as long as names stayed.
    """
    graph = parse(model).graph
    known = [layer for layer in layers_of(graph) if layers is None or layer.name in layers]
    wanted = [layer for layer in known if layer.groups == 1 and layer.rows.shape[1] <= _LONGEST]
    names = list(dict.fromkeys(layer.input for layer in wanted))
    given = {value.name for value in graph.inputs}
    session = optimised_session(with_outputs(model, [name for name in names if name not in given]))
    outputs = [value.name for value in session.get_outputs()]
    random = np.random.default_rng(seed)
    sums = {layer.name: _Sums(layer.rows.shape[1]) for layer in wanted}
    for feeds in samples:
        values = {**feeds, **dict(zip(outputs, session.run(outputs, dict(feeds)), strict=True))}
        for layer in wanted:
            sums[layer.name].add(read_rows(layer, values[layer.input], _PLACES, random))
    return {name: result for name, kept in sums.items() if (result := kept.result()) is not None}


class _Sums:
    """Rows of a layer's input, multiplied many at a time."""

    def __init__(self, reduced: int) -> None:
        self._second = np.zeros((reduced, reduced))
        self._mean = np.zeros(reduced)
        self._pending: list[Floats] = []
        self._count = 0

    def add(self, rows: Floats) -> None:
        """Take rows [any, reduced]; those of a sample with values that are not finite are left out."""
        if np.isfinite(rows).all():
            self._pending.append(rows)
            self._count += len(rows)
        if sum(map(len, self._pending)) >= _AT_ONCE:
            self._multiply()

    def result(self) -> Gptq | None:
        """The means over all rows; None without any."""
        self._multiply()
        return Gptq(self._second / self._count, self._mean / self._count) if self._count else None

    def _multiply(self) -> None:
        if self._pending:
            rows = np.concatenate(self._pending)
            self._second += rows.T @ rows
            self._mean += rows.sum(axis=0)
            self._pending = []


_rounded: dict[bytes, npt.NDArray[np.int8]] = {}


def _remembered(exact: Floats, second: Floats, walks: Sequence[Order]) -> npt.NDArray[np.int8]:
    """The rounding, done once in a process: a search builds the same layer into many models."""
    key = hashlib.blake2b(f"{exact.shape} {len(walks)}".encode())
    for array in (exact, second):
        key.update(array.tobytes())
    if (digest := key.digest()) not in _rounded:
        _rounded[digest] = _round(exact, second, walks).astype(np.int8)
    return _rounded[digest]


def _round(exact: Floats, second: Floats, walks: Sequence[Order]) -> Floats:
    """Weight by weight, largest inputs first; each error is spread over those that follow (eq. 2 and 3)."""
    order = np.argsort(-np.diag(second), kind="stable")
    factor = _factor(second[np.ix_(order, order)])
    limits = _Limits(exact.shape, walks)
    rest = exact[:, order].copy()
    for start in range(0, len(order), _BLOCK):
        block = range(start, min(start + _BLOCK, len(order)))
        errors = np.empty((len(rest), len(block)))
        for step in block:
            whole = limits.round(rest[:, step], int(order[step]))
            error = (rest[:, step] - whole) / factor[step, step]
            rest[:, step + 1 : block.stop] -= np.outer(error, factor[step, step + 1 : block.stop])
            errors[:, step - start] = error
        # What follows the block gets its errors at once: the same sums, by one matrix product (step 2).
        rest[:, block.stop :] -= errors @ factor[start : block.stop, block.stop :]
    return limits.chosen


def _factor(hessian: Floats) -> Floats:
    """The upper Cholesky factor of the damped inverse, whose rows are all that the steps need (step 3).

    Few samples, and rounding, make a matrix that more damping is needed to invert.
    """
    diagonal = np.maximum(np.diag(hessian), 0)
    for damping in _DAMPINGS:
        damped = hessian + np.diag(np.full(len(diagonal), damping * diagonal.mean() + _SMALLEST))
        try:
            return np.linalg.cholesky(np.linalg.inv(damped)).T
        except np.linalg.LinAlgError:
            continue
    return np.eye(len(diagonal))


class _Limits:
    """The weights chosen so far, and how large the next may be beside its neighbours in every walk."""

    def __init__(self, shape: tuple[int, ...], walks: Sequence[Order]) -> None:
        self.chosen = np.zeros(shape)
        self._beside: Mapping[int, list[int]] = {}
        if walks:
            beside: dict[int, list[int]] = {column: [] for column in range(shape[1])}
            for walk in walks:
                for left, right in zip(walk[:-1].tolist(), walk[1:].tolist(), strict=True):
                    beside[left].append(right)
                    beside[right].append(left)
            self._beside = beside

    def round(self, weight: Floats, column: int) -> Floats:
        """Choose a column: the nearest that is allowed."""
        limit = np.full(len(weight), float(LARGEST))
        for neighbour in self._beside.get(column, []):
            np.minimum(limit, LARGEST_PAIR - np.abs(self.chosen[:, neighbour]), out=limit)
        self.chosen[:, column] = np.clip(np.rint(weight), -limit, limit)
        return self.chosen[:, column]
