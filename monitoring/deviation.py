"""How far answers are from their labels, where they are numbers or scores and not classes.

Such errors have no bound that a test could use (RMSE), or say little alone (a probability). So each is
ranked among those of the verified samples, on which no choice was made, and of all labelled requests before
it: what counts is the chance that one of these was further off, a half on average while all is well, whatever
the errors' distribution. Mann and Whitney's statistic ("On a test of whether one of two random variables is
stochastically larger", 1947), one request at a time: nearly as strong as a test that knows the distribution,
and on heavy tails much stronger than a mean.

The rank is that of the error's bin in Polya's urn (binning.py, drift.py), so what few samples leave open is
never taken for a loss: given all before, its mean is a half, which is all that quality.py's test needs.
"""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from monitoring.binning import MISSING, Bins, cut, place

EXPECTED = 0.5
_LEAST = 20  # samples
_MOST = 8  # numbers of an answer that are kept until its label comes

Array = npt.NDArray[Any]
Metric = Literal["rmse", "mae", "auc", "log-loss"]
METRICS: tuple[Metric, ...] = ("rmse", "mae", "auc", "log-loss")


class Deviation(msgspec.Struct, frozen=True, kw_only=True):
    """The errors of one output on the verified samples, in bins.

    ``edges``: float32 [BINS - 2], ``weights``: float32 [BINS], as binning.py has them.
    """

    output: str
    metric: Metric
    samples: int
    edges: Array
    weights: Array


def measure(output: str, metric: Metric, errors: Sequence[float]) -> Deviation | None:
    """Of samples that no choice was made on; None of few."""
    if len(errors) < _LEAST:
        return None
    bins = cut(_column(errors))
    weights = bins.weights[0].astype(np.float32)
    weights[MISSING] = 0  # an error that is no number is the largest
    return Deviation(output=output, metric=metric, samples=len(errors), edges=bins.edges[0], weights=weights)


def nearness(known: Deviation, urn: list[float], errors: Sequence[float]) -> list[float]:
    """By request, the chance that a verified one, or one before, was further off.

    ``urn`` holds the weights of the bins, nothing before the first request, and is changed in place.
    """
    if not urn:
        urn[:] = known.weights.tolist()
    bins = Bins(known.edges[None], known.weights[None].astype(np.float64), np.array([known.samples]))
    found = []
    for index in place(bins, _column(errors))[:, 0].tolist():
        found.append((sum(urn[index + 1 :]) + urn[index] / 2) / sum(urn))
        urn[index] += 1
    return found


def answers(metric: Metric, rows: Array) -> list[list[float]] | None:
    """By row the numbers that its label is held against; None where they are too many.

    Of two classes' scores it is the second one's probability.
    """
    flat = rows.reshape(len(rows), -1).astype(np.float64)
    if metric in ("rmse", "mae"):
        return flat.tolist() if 1 <= flat.shape[1] <= _MOST else None
    if flat.shape[1] == 2:
        flat = _probabilities(flat)[:, 1:]
    return flat.tolist() if flat.shape[1] == 1 else None


def error(metric: Metric, answer: Sequence[float], label: Any) -> float:
    """Of one row: the root of its mean square, its mean, or how far a score is from 0 or 1.

    Raises:
        ValueError: the label is not as many numbers, or no 0 or 1; the message says which.
    """
    try:
        wanted = np.asarray(label, np.float64).reshape(-1)
    except (ValueError, TypeError):
        wanted = np.array([np.nan])
    if np.isnan(wanted).any():
        raise ValueError("its label is no number")
    if len(wanted) != len(answer):
        raise ValueError(f"its label is {len(wanted)} numbers, but the answer {len(answer)}")
    if metric not in ("rmse", "mae") and wanted[0] not in (0, 1):
        raise ValueError("its label is neither 0 nor 1")
    apart = np.abs(np.asarray(answer) - wanted)
    return float(np.sqrt(np.mean(apart**2)) if metric == "rmse" else apart.mean())


def figure(metric: Metric, errors: Sequence[float]) -> float | None:
    """The metric itself over requests, as people know it; None where errors do not tell it."""
    if not errors or metric == "auc":
        return None
    found = np.asarray(errors)
    if metric == "rmse":
        return float(np.sqrt(np.mean(found**2)))
    return float(found.mean() if metric == "mae" else -np.log(np.maximum(1 - found, 1e-15)).mean())


def _column(errors: Sequence[float]) -> Array:
    found = np.asarray(errors, np.float64)
    return np.where(np.isnan(found), np.inf, found)[:, None]


def _probabilities(scores: Array) -> Array:
    """By row; of scores that are none, their softmax."""
    are = (scores >= 0).all(axis=1) & np.isclose(scores.sum(axis=1), 1, atol=1e-2)
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.where(are[:, None], scores, shares / shares.sum(axis=1, keepdims=True))
