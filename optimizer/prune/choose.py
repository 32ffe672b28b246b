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
_LEAST_LEFT = 8  # this part of a group stays
_MULTIPLES = ((128, 16), (32, 8))  # of how many units kernels are made for, by the size of the group
_SMALLEST = 1e-12


@dataclass(frozen=True, eq=False)
class Order:
    """A group's units in the order in which they go, and after each how much error there is in all."""

    group: Group
    units: tuple[int, ...]
    errors: tuple[float, ...]
    cost: float  # of one unit: multiplications in a run


def order_of(
    group: Group,
    read: Mapping[str, Gptq],
    senses: Mapping[str, Matrix],
    places: Mapping[str, int],
) -> Order | None:
    """The order for one group; None where what some layer reads is not known.

    ``read`` is what each layer reads; ``senses`` [channels, channels] by layer weighs the squared error of
    what it gives: without, errors count as shares of what the layer gives. ``places``: rows in a run.
    """
    if any(layer.name not in read for layer in group.readers):
        return None
    readers = [_Reader(group, layer, read[layer.name], senses.get(layer.name)) for layer in group.readers]
    weights = [places.get(layer.name, 1) for layer in group.readers]
    if not senses:
        weights = [1] * len(readers)
    alive = np.ones(group.count, bool)
    units: list[int] = []
    errors: list[float] = []
    total = 0.0
    step = max(group.count // _STEPS, 1)
    while alive.sum() > max(group.count // _LEAST_LEFT, 1):
        scores = sum(
            (weight * one.scores() for weight, one in zip(weights, readers, strict=True)), np.zeros(1)
        )
        scores[~alive] = np.inf
        going = np.argsort(scores, kind="stable")[: min(step, int(alive.sum()) - 1)]
        for unit in going.tolist():
            total += float(max(scores[unit], 0.0))
            units.append(unit)
            errors.append(total)
        alive[going] = False
        for one in readers:
            one.remove(going)
    return Order(group, tuple(units), tuple(errors), _cost(group, places))


def choose(orders: Sequence[Order], share: float) -> list[tuple[Group, Kept]]:
    """Take ``share`` of all that groups cost, where it adds least error."""
    steps = []
    for number, order in enumerate(orders):
        multiple = next((m for least, m in _MULTIPLES if order.group.count >= least), 1)
        before = 0.0
        for gone in range(multiple, len(order.units) + 1, multiple):
            error = order.errors[gone - 1]
            steps.append(((error - before) / (multiple * order.cost), number, gone))
            before = error
    wanted = share * sum(order.cost * order.group.count for order in orders)
    removed = dict.fromkeys(range(len(orders)), 0)
    saved = 0.0
    for number, gone in _convex(steps):
        if saved >= wanted:
            break
        if gone > removed[number]:
            saved += (gone - removed[number]) * orders[number].cost
            removed[number] = gone
    chosen = []
    for number, order in enumerate(orders):
        if removed[number]:
            kept = np.ones(order.group.count, bool)
            kept[list(order.units[: removed[number]])] = False
            chosen.append((order.group, kept))
    return chosen


def _convex(steps: Sequence[tuple[float, int, int]]) -> list[tuple[int, int]]:
    """Steps by what they cost; none of a group before the one that comes before it."""
    worst: dict[int, float] = {}
    fair = []
    for rate, number, gone in steps:
        worst[number] = max(worst.get(number, 0.0), rate)
        fair.append((worst[number], number, gone))
    return [(number, gone) for _, number, gone in sorted(fair)]


def _cost(group: Group, places: Mapping[str, int]) -> float:
    total = 0.0
    for layer in {one.name: one for one in (*group.makers, *group.readers)}.values():
        total += layer.rows.size * places.get(layer.name, 1)
    return total / group.count


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
