"""Metrics of outputs that are numbers or vectors."""

from collections.abc import Sequence

import numpy as np

from optimizer.metrics.base import NamedMetric, Rows, itself, same_size
from optimizer.runtime import Array


def _floats(output: Array, label: Array) -> tuple[Array, Array]:
    left, right = same_size(output, label)
    return left.astype(np.float64), right.astype(np.float64)


def _squared(output: Array, label: Array) -> list[float]:
    left, right = _floats(output, label)
    return [-float(np.mean((left - right) ** 2))]


def _absolute(output: Array, label: Array) -> list[float]:
    left, right = _floats(output, label)
    return [-float(np.mean(np.abs(left - right)))]


def _cosine(output: Array, label: Array) -> list[float]:
    left, right = _floats(output, label)
    norms = float(np.linalg.norm(left) * np.linalg.norm(right))
    return [float(left @ right) / norms if norms else float(np.array_equal(left, right))]


def _root_mean(rows: Rows) -> float:
    return 0.0 - float(np.sqrt(-rows.mean()))


def _worst(rows: Rows) -> float:
    return float(rows.min())


def _mean_direction(truths: Sequence[Array]) -> list[Array] | None:
    """The answer of the highest mean cosine among those that are the same for every sample."""
    if len({truth.shape for truth in truths}) > 1:
        return None
    directions = (truth / max(float(np.linalg.norm(truth)), 1e-12) for truth in truths)
    return [np.asarray(sum(directions))] * len(truths)


METRICS = (
    NamedMetric("cosine", _cosine, as_label=itself, constant=_mean_direction),
    NamedMetric("cosine-worst", _cosine, _worst, as_label=itself, constant=_mean_direction),
    NamedMetric("mae", _absolute, as_label=itself),
    NamedMetric("rmse", _squared, _root_mean, as_label=itself),
)
