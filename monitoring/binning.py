"""A score's bins: cut at order statistics of the calibration data, finer towards the tails.

Why so: between two neighbouring order statistics of ``n`` independent draws from any continuous distribution
lies, on average over the draws, a mass of exactly ``1 / (n + 1)``, and the masses are Dirichlet(1, ..., 1)
(the theory of spacings; Wilks, "Determination of sample sizes for setting tolerance limits", 1941). So a bin
that spans ``m`` of these gaps has the known predictive probability ``m / (n + 1)`` for the first request and
``(m + c) / (n + 1 + t)`` for the one after ``t`` requests of which ``c`` fell into it: Polya's urn, whatever
the distribution. drift.py bets against these and needs no other assumption.

Values that repeat (integers, categories, a column that is mostly zero) have bins of their own, whose weight
is their count. There the prediction is not exact but off by less than one count in a bin of at least
``_FEWEST``.

The layout of all bins of a score: 0 is below everything seen, then the inner ones, then one above everything
seen, and the last of all (``MISSING``) for what is no number.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

BINS = 40
MISSING = BINS - 1
_INNER = BINS - 3  # without "below", "above" and "missing"
_FEWEST = 4
_LARGEST = np.float32(3e38)

Array = npt.NDArray[Any]


class Bins(NamedTuple):
    """``edges``: float32 [scores, BINS - 2], filled up with infinity; ``weights``: float64 [scores, BINS].

    ``counts``: int64 [scores], the calibration data's samples. A bin's weight is the number of gaps between
    order statistics that it spans; 0 where it does not exist.
    """

    edges: Array
    weights: Array
    counts: Array


def cut(scores: Array) -> Bins:
    """Bins for each column of the calibration data's ``scores`` ([samples, scores]; NaN is missing)."""
    parts = [_cut_one(_clean(column)) for column in scores.T]
    return Bins(
        np.array([edges for edges, _ in parts], np.float32).reshape(len(parts), BINS - 2),
        np.array([weights for _, weights in parts], np.float64).reshape(len(parts), BINS),
        np.full(len(parts), len(scores), np.int64),
    )


def place(bins: Bins, scores: Array) -> Array:
    """The bin of each score: uint8 [requests, scores]."""
    placed = np.empty(scores.shape, np.uint8)
    for index in range(scores.shape[1]):
        column = _clean(scores[:, index])
        placed[:, index] = np.searchsorted(bins.edges[index], column, side="right")
        placed[np.isnan(column), index] = MISSING
    return placed


def _clean(column: Array) -> Array:
    with np.errstate(over="ignore"):
        return np.clip(column.astype(np.float32), -_LARGEST, _LARGEST)


def _cut_one(column: Array) -> tuple[Array, Array]:
    values = np.sort(column[~np.isnan(column)])
    edges = np.full(BINS - 2, np.inf, np.float32)
    weights = np.zeros(BINS)
    # What was never seen has the weight of one gap.
    weights[MISSING] = max(len(column) - len(values), 1)
    if not len(values):
        weights[0] = 1
        return edges, weights
    starts = _starts(values)
    edges[: len(starts)] = values[starts]
    edges[len(starts)] = np.nextafter(values[-1], np.float32(np.inf))
    counts = np.diff(np.append(starts, len(values)))
    weights[1 : len(starts) + 1] = counts
    weights[0] = weights[len(starts) + 1] = 1
    return edges, weights


def _starts(values: Array) -> Array:
    """Where in the sorted values a bin begins; never between equal ones."""
    _, first, counts = np.unique(values, return_index=True, return_counts=True)
    if len(first) <= _INNER:
        starts = first
    else:
        heavy = counts > len(values) / 20
        after = np.append(first, len(values))[1:][heavy]
        wanted = first[np.searchsorted(first, _targets(len(values)), side="right") - 1]
        starts = np.unique(np.concatenate([[0], wanted, first[heavy], after[after < len(values)]]))
    return _thinned(starts, len(values), continuous=counts.max() == 1)


def _thinned(starts: Array, count: int, *, continuous: bool) -> Array:
    """Without the lightest bins, until no more are left than there is room for and none is too light."""
    fewest = 1 if continuous else _FEWEST
    kept = starts.tolist()
    while len(kept) > 1:
        weights = np.diff([*kept, count])
        lightest = int(weights.argmin())
        if len(kept) <= _INNER and weights[lightest] >= fewest:
            break
        left = weights[lightest - 1] if lightest else np.inf
        right = weights[lightest + 1] if lightest + 1 < len(kept) else np.inf
        del kept[lightest if left <= right else lightest + 1]
    return np.array(kept)


def _targets(count: int) -> Array:
    """Where bins should begin: sizes 2, 4, 8, ... from both ends, and equal ones between."""
    sizes: list[int] = []
    while (size := 2 ** (len(sizes) + 1)) <= count / 25:
        sizes.append(size)
    tail = np.cumsum(sizes, dtype=int)
    reach = int(tail[-1]) if len(tail) else 0
    middle = min(_INNER - 2 * len(sizes), max((count - 2 * reach) // _FEWEST, 1))
    inner = np.linspace(reach, count - reach, middle + 1).astype(int)
    return np.unique(np.concatenate([[0], tail, inner[:-1], (count - tail)]))
