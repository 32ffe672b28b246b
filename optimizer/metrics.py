"""How good a model's answers are. Larger is better for every metric, so that a drop means a loss.

A metric turns each sample into a row of numbers, and rows into one value: so that samples can be resampled,
and outputs need not be kept. Without labels, the original model's outputs take their place.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from optimizer.data import import_function
from optimizer.errors import InputError
from optimizer.runtime import Array

Rows = npt.NDArray[np.float64]


class Metric(Protocol):
    """What the search asks of a metric. Outputs are those of one sample, by name."""

    @property
    def name(self) -> str:
        """What the user calls it."""

    def truth(self, outputs: Mapping[str, Array]) -> Any:
        """What to keep of the original's outputs, to stand for a label."""

    def row(self, outputs: Mapping[str, Array], truth: Any) -> Any:
        """What to keep of one sample."""

    def value(self, rows: Sequence[Any]) -> float:
        """The metric over samples."""


def has_classes(output: Array) -> bool:
    """Whether an output's last axis looks like scores of classes."""
    return output.dtype.kind == "f" and output.ndim > 0 and output.shape[-1] > 1


def predictions(output: Array) -> Array:
    """The predicted classes: argmax of scores, a lone score against 0.5, or what is no float, as it is."""
    if output.dtype.kind != "f":
        return output
    return np.asarray(output.argmax(axis=-1)) if has_classes(output) else output > 0.5


def _same_size(prediction: Array, label: Array) -> tuple[Array, Array]:
    if prediction.size != label.size:
        raise InputError(
            f"a label has shape {list(label.shape)}, but a prediction {list(prediction.shape)}: "
            "give one label for each prediction."
        )
    return prediction.reshape(-1), label.reshape(-1)


def _accuracy(output: Array, label: Array) -> list[float]:
    prediction, label = _same_size(predictions(output), label)
    return [float(np.mean(prediction == label))]


def _exact(output: Array, label: Array) -> list[float]:
    prediction, label = _same_size(predictions(output), label)
    return [float(np.array_equal(prediction, label))]


def _agreement_truth(output: Array) -> Array:
    return output if output.dtype.kind == "f" and not has_classes(output) else predictions(output)


def _agreement(output: Array, label: Array) -> list[float]:
    if output.dtype.kind == "f" and not has_classes(output):
        output, label = _same_size(output, label)
        return [float(np.mean(np.isclose(output, label, rtol=0.01, atol=0.001, equal_nan=True)))]
    return _accuracy(output, label)


def _top5(output: Array, label: Array) -> list[float]:
    if not has_classes(output):
        raise InputError("the metric top5 needs scores of classes along the output's last axis.")
    best = np.argpartition(output, -min(5, output.shape[-1]), axis=-1)[..., -5:]
    _, label = _same_size(best[..., 0], label)
    return [float(np.mean((best.reshape(label.size, -1) == label[:, np.newaxis]).any(axis=1)))]


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
    _, label = _same_size(scores[:, 0], label)
    if label.min() < 0 or label.max() >= scores.shape[1]:
        raise InputError(f"a label is outside 0 to {scores.shape[1] - 1}, the model's classes.")
    return [float(np.log(np.maximum(scores[np.arange(label.size), label.astype(int)], 1e-15)).mean())]


def _floats(output: Array, label: Array) -> tuple[Array, Array]:
    left, right = _same_size(output, label)
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


def _mean(rows: Rows) -> float:
    return float(rows.mean())


def _root_mean(rows: Rows) -> float:
    return 0.0 - float(np.sqrt(-rows.mean()))


def _itself(output: Array) -> Array:
    return output


@dataclass(frozen=True)
class NamedMetric:
    """A metric of the registry; over several outputs, the worst counts."""

    name: str
    sample: Callable[[Array, Array], list[float]]
    total: Callable[[Rows], float] = _mean
    as_label: Callable[[Array], Array] = predictions

    def truth(self, outputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """A label for each output."""
        return {name: self.as_label(output) for name, output in outputs.items()}

    def row(self, outputs: Mapping[str, Array], truth: Mapping[str, Array]) -> Rows:
        """float64 [outputs, numbers of this metric]."""
        try:
            return np.array(
                [self.sample(output, truth[name]) for name, output in outputs.items()], np.float64
            )
        except (TypeError, ValueError) as error:
            raise InputError(f"the metric {self.name} does not fit this model's outputs ({error}).") from None

    def value(self, rows: Sequence[Rows]) -> float:
        """The worst output's value."""
        stacked = np.stack(rows)
        return min(self.total(stacked[:, output]) for output in range(stacked.shape[1]))


REGISTRY = {
    metric.name: metric
    for metric in (
        NamedMetric("accuracy", _accuracy),
        NamedMetric("agreement", _agreement, as_label=_agreement_truth),
        NamedMetric("auc", _auc, _rank_auc),
        NamedMetric("cosine", _cosine, as_label=_itself),
        NamedMetric("exact-match", _exact),
        NamedMetric("f1", _f1, _macro_f1),
        NamedMetric("log-loss", _log_likelihood),
        NamedMetric("mae", _absolute, as_label=_itself),
        NamedMetric("rmse", _squared, _root_mean, as_label=_itself),
        NamedMetric("top5", _top5),
    )
}


@dataclass(frozen=True)
class FunctionMetric:
    """The user's ``module:function(outputs, labels) -> float``.

    It gets all samples at once: an array whose first axis is the samples (a list of arrays where shapes
    differ), or a dict of these by name where the model has several outputs; without labels, the original's
    outputs in the same form.
    """

    name: str
    function: Callable[[Any, Any], Any]

    def truth(self, outputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """All of the outputs."""
        return dict(outputs)

    def row(self, outputs: Mapping[str, Array], truth: Mapping[str, Array]) -> Any:
        """Both, as they are."""
        return dict(outputs), truth

    def value(self, rows: Sequence[Any]) -> float:
        """Call the function."""
        outputs, labels = (_together([row[side] for row in rows]) for side in (0, 1))
        try:
            return float(self.function(outputs, labels))
        except Exception as error:  # noqa: BLE001 - the user's own function may raise anything
            raise InputError(
                f"the metric {self.name} raised {type(error).__name__}: {error} "
                "(it is called with all outputs and all labels, and returns one number)."
            ) from None


def _together(samples: list[Any]) -> Any:
    if isinstance(samples[0], Mapping):
        by_name = {name: _together([sample[name] for sample in samples]) for name in samples[0]}
        return next(iter(by_name.values())) if len(by_name) == 1 else by_name
    if len({sample.shape for sample in samples}) > 1:
        return samples
    return np.concatenate(samples) if samples[0].ndim and samples[0].shape[0] == 1 else np.stack(samples)


def find_metric(name: str) -> Metric:
    """A metric by its name, or the user's function.

    Raises:
        InputError: there is no such metric.
    """
    if ":" in name:
        return FunctionMetric(name, import_function(name, "--metric"))
    if name not in REGISTRY:
        raise InputError(
            f"there is no metric '{name}': use one of {', '.join(REGISTRY)}, "
            "or module:function(outputs, labels)."
        )
    return REGISTRY[name]
