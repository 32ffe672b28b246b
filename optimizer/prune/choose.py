"""Which units go: those whose loss the layers that read them can make up for best.

A layer reads units x and gives w x. How far it is off without some of them, if its other weights are fitted
anew, follows from the inverse of E[x x^T] (Hassibi, Stork: "Second Order Derivatives for Network Pruning:
Optimal Brain Surgeon", 1993; for whole units Kurtic, Frantar, Alistarh: "ZipLM", 2023). What such errors
do to the answers is in ``senses``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from optimizer.prune.cut import Kept
from optimizer.prune.groups import Group
from optimizer.quantize.gptq import Gptq
from optimizer.quantize.layers import Layer

Matrix = npt.NDArray[np.float64]

_DAMPING = 1e-3  # of the mean second moment
_STEPS = 64  # in how many steps all units of a group would be gone
_MULTIPLES = ((128, 16), (32, 8))  # of how many units kernels are made for, by the size of the group
_SMALLEST = 1e-12


@dataclass(frozen=True, eq=False)
class Order:
    """A group, and its units in the order in which they go."""

    group: Group
    units: tuple[int, ...]


def order_of(group: Group, read: Mapping[str, Gptq], senses: Mapping[str, Matrix]) -> Order | None:
    """The order for one group; None where what some layer reads is not known, or an error not finite.

    ``read`` is what each layer reads; ``senses`` [channels, channels] by layer weighs the squared error of
    what it gives: where there are none, errors count as shares of what the layer gives.
    """
    if any(layer.name not in read for layer in group.readers):
        return None
    readers = [_Reader(group, layer, read[layer.name], senses.get(layer.name)) for layer in group.readers]
    alive = np.ones(group.count, bool)
    units: list[int] = []
    step = max(group.count // _STEPS, 1)
    while alive.sum() > 1:
        scores = np.sum([one.scores() for one in readers], axis=0)
        if not np.isfinite(scores[alive]).all():
            return None
        scores[~alive] = np.inf
        going = np.argsort(scores, kind="stable")[: min(step, int(alive.sum()) - 1)]
        units.extend(going.tolist())
        alive[going] = False
        for one in readers:
            one.remove(going)
    return Order(group, tuple(units))


def choose(orders: Sequence[Order], share: float) -> list[tuple[Group, Kept]]:
    """Take about ``share`` of the units of every group; of heads only where there is nothing else.

    Two things are worse (figures in docs/optimize.md): to take more where the errors of single layers say
    that it costs least, for they do not know what later layers make up for; and heads beside neurons.
    """
    chosen = []
    fine = [order for order in orders if not order.group.is_coarse]
    for order in fine or orders:
        count = order.group.count
        multiple = next((m for least, m in _MULTIPLES if count >= least), 1)
        gone = round(share * count / multiple) * multiple
        if 0 < gone < count:
            kept = np.ones(count, bool)
            kept[list(order.units[:gone])] = False
            chosen.append((order.group, kept))
    return chosen


class _Reader:
    """One layer: the inverse of what it reads, and its weights as far as they were fitted anew."""

    def __init__(self, group: Group, layer: Layer, read: Gptq, senses: Matrix | None) -> None:
        labels = group.read(layer)
        self._places = [np.flatnonzero(labels == unit) for unit in range(group.count)]
        count = len(read.mean)
        second = read.second - np.outer(read.mean, read.mean)  # a bias makes up for the mean
        damped = second + np.eye(count) * (_DAMPING * np.trace(second) / count + _SMALLEST)
        self._inverse = np.linalg.inv(damped)
        weights = layer.rows.T.astype(np.float64)
        if senses is not None:
            values, vectors = np.linalg.eigh(senses)
            weights = weights @ (vectors * np.sqrt(np.maximum(values, 0)))
        else:
            weights = weights / np.sqrt(np.einsum("ij,ik,kj->", weights, damped, weights) + _SMALLEST)
        self._weights = weights

    def scores(self) -> Matrix:
        """For each unit the error without it; anything for those that are gone."""
        if all(len(places) == 1 for places in self._places):
            at = np.concatenate(self._places)
            singles: Matrix = np.square(self._weights[at]).sum(1) / np.maximum(
                np.diag(self._inverse)[at], _SMALLEST
            )
            return singles
        return np.array([self._error(places) for places in self._places])

    def remove(self, units: npt.NDArray[np.intp]) -> None:
        """Let the others make up for them."""
        places = np.concatenate([self._places[unit] for unit in units])
        across = self._inverse[:, places]
        solved = np.linalg.solve(self._inverse[np.ix_(places, places)], np.eye(len(places)))
        self._weights = self._weights - across @ (solved @ self._weights[places])
        self._inverse = self._inverse - across @ solved @ across.T
        self._weights[places] = 0
        self._inverse[places] = 0
        self._inverse[:, places] = 0
        self._inverse[places, places] = 1

    def _error(self, places: npt.NDArray[np.intp]) -> float:
        if not len(places):
            return 0.0
        weights = self._weights[places]
        return float(np.sum(weights * np.linalg.solve(self._inverse[np.ix_(places, places)], weights)))
