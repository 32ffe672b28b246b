"""Metrics of segmentation masks."""

from collections.abc import Sequence

import numpy as np

from optimizer.metrics.base import NamedMetric, same_size
from optimizer.runtime import Array


def mask(output: Array) -> Array:
    """What belongs to the object: probabilities above 0.5, logits above 0, or what is no float and not 0."""
    if output.dtype.kind != "f":
        return np.asarray(output != 0, np.bool_)
    are_logits = output.size > 0 and bool(output.min() < 0 or output.max() > 1)
    return np.asarray(output > (0 if are_logits else 0.5), np.bool_)


def _iou(output: Array, label: Array) -> list[float]:
    """Intersection over union (Jaccard index); two empty masks agree."""
    left, right = same_size(mask(output), mask(label))
    union = np.sum(left | right)
    return [float(np.sum(left & right) / union) if union else 1.0]


def _usual(truths: Sequence[Array]) -> list[Array] | None:
    """What belongs to the object in most samples, as the answer to every sample."""
    if len({truth.shape for truth in truths}) > 1:
        return None
    times = sum(mask(truth).astype(np.int32) for truth in truths)
    return [np.asarray(2 * times > len(truths))] * len(truths)


METRICS = (NamedMetric("iou", _iou, as_label=mask, constant=_usual),)
