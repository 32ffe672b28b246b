"""Metrics of embeddings as they are used: what lies nearest to what."""

import numpy as np

from optimizer.errors import InputError
from optimizer.metrics.base import NamedMetric, Rows, itself
from optimizer.runtime import Array


def _vectors(output: Array, label: Array) -> list[float]:
    """The embedding and the label's, one after the other, each of length 1."""
    if output.size != label.size:
        raise InputError("the metric retrieval-top1 needs the original's vectors: leave the labels out.")
    unit = [one.reshape(-1) / max(float(np.linalg.norm(one)), 1e-12) for one in (output, label)]
    return [float(value) for value in np.concatenate(unit)]


def _top1(rows: Rows) -> float:
    """How often the nearest other sample, by cosine, is the one that is nearest by the labels.

    A sample that was drawn more than once (bootstrap) counts as often, but is not its own neighbour.
    """
    samples, counts = np.unique(rows, axis=0, return_counts=True)
    if len(samples) < 2:
        return 1.0
    width = samples.shape[1] // 2
    nearest = []
    for vectors in (samples[:, :width], samples[:, width:]):
        likeness = vectors @ vectors.T
        np.fill_diagonal(likeness, -np.inf)
        nearest.append(likeness.argmax(axis=1))
    return float(np.average(nearest[0] == nearest[1], weights=counts))


METRICS = (NamedMetric("retrieval-top1", _vectors, _top1, as_label=itself, by_sample=False),)
