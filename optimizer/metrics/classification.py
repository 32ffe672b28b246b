"""Metrics of predicted classes and of their scores."""

import numpy as np

from optimizer.errors import InputError
from optimizer.metrics.base import NamedMetric, Rows, commonest, has_classes, predictions, same_size
from optimizer.runtime import Array


def _accuracy(output: Array, label: Array) -> list[float]:
    prediction, label = same_size(predictions(output), label)
    return [float(np.mean(prediction == label))]


def _exact(output: Array, label: Array) -> list[float]:
    prediction, label = same_size(predictions(output), label)
    return [float(np.array_equal(prediction, label))]


def _agreement_truth(output: Array) -> Array:
    return output if output.dtype.kind == "f" and not has_classes(output) else predictions(output)


def _agreement(output: Array, label: Array) -> list[float]:
    if output.dtype.kind == "f" and not has_classes(output):
        output, label = same_size(output, label)
        return [float(np.mean(np.isclose(output, label, rtol=0.01, atol=0.001, equal_nan=True)))]
    return _accuracy(output, label)


def top(k: int) -> NamedMetric:
    """How often the label is among the ``k`` classes of the highest scores."""

    def sample(output: Array, label: Array) -> list[float]:
        if not has_classes(output):
            raise InputError(f"the metric top{k} needs scores of classes along the output's last axis.")
        best = np.argpartition(output, -min(k, output.shape[-1]), axis=-1)[..., -k:]
        _, label = same_size(best[..., 0], label)
        return [float(np.mean((best.reshape(label.size, -1) == label[:, np.newaxis]).any(axis=1)))]

    return NamedMetric(f"top{k}", sample)


def _one(output: Array, label: Array, name: str) -> tuple[float, float]:
    if output.size != 1 or label.size != 1:
        raise InputError(
            f"the metric {name} needs one prediction for each sample: use accuracy, or a function."
        )
    return float(output.reshape(())), float(label.reshape(()))


def _f1(output: Array, label: Array) -> list[float]:
    return list(_one(predictions(output), label, "f1"))


def _macro_f1(rows: Rows) -> float:
    predicted, actual = rows[:, 0], rows[:, 1]
    scores = []
    for label in np.unique(rows):
        hits = np.sum((predicted == label) & (actual == label))
        scores.append(2 * hits / (np.sum(predicted == label) + np.sum(actual == label)))
    return float(np.mean(scores))


def _auc(output: Array, label: Array) -> list[float]:
    if has_classes(output):
        if output.shape[-1] != 2:
            raise InputError("the metric auc needs one score or two classes: use accuracy, or a function.")
        output = output[..., 1]
    return list(_one(output, label, "auc"))


def _rank_auc(rows: Rows) -> float:
    """Probability that a positive scores above a negative (Mann-Whitney U), ties counting half."""
    positive, negative = rows[rows[:, 1] > 0.5, 0], np.sort(rows[rows[:, 1] <= 0.5, 0])
    if not positive.size or not negative.size:
        return float("nan")
    below = np.searchsorted(negative, positive, "left") + np.searchsorted(negative, positive, "right")
    return float(below.mean() / 2 / negative.size)


def _log_likelihood(output: Array, label: Array) -> list[float]:
    if not has_classes(output):
        raise InputError("the metric log-loss needs scores of classes along the output's last axis.")
    scores = output.reshape(-1, output.shape[-1]).astype(np.float64)
    if (scores < 0).any() or not np.allclose(scores.sum(axis=1), 1, atol=1e-2):
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        scores /= scores.sum(axis=1, keepdims=True)
    _, label = same_size(scores[:, 0], label)
    if label.min() < 0 or label.max() >= scores.shape[1]:
        raise InputError(f"a label is outside 0 to {scores.shape[1] - 1}, the model's classes.")
    return [float(np.log(np.maximum(scores[np.arange(label.size), label.astype(int)], 1e-15)).mean())]


METRICS = (
    NamedMetric("accuracy", _accuracy, constant=commonest),
    NamedMetric("agreement", _agreement, as_label=_agreement_truth, constant=commonest),
    NamedMetric("auc", _auc, _rank_auc, by_sample=False),
    NamedMetric("exact-match", _exact, constant=commonest),
    NamedMetric("f1", _f1, _macro_f1, by_sample=False),
    NamedMetric("log-loss", _log_likelihood),
    top(5),
)
