"""How good a model's answers are. Larger is better for every metric, so that a drop means a loss.

A metric turns each sample into a row of numbers, and rows into one value: so that samples can be resampled,
and outputs need not be kept. Without labels, the original model's outputs take their place.
"""

import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

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

    def of_one(self, row: Any) -> float | None:
        """The metric of one sample; None where it is a matter of several."""

    def apart(self, row: Any, original: Any) -> float:
        """How much worse a sample's row is than the original's: what the worst samples are found by."""

    def floor(self, truths: Sequence[Any]) -> float | None:
        """What a model gets whose answer is always the same; None where nobody would take it for good."""


def has_classes(output: Array) -> bool:
    """Whether an output's last axis looks like scores of classes."""
    return output.dtype.kind == "f" and output.ndim > 0 and output.shape[-1] > 1


def predictions(output: Array) -> Array:
    """The predicted classes: argmax of scores, a lone score against 0.5, or what is no float, as it is."""
    if output.dtype.kind != "f":
        return output
    return np.asarray(output.argmax(axis=-1)) if has_classes(output) else output > 0.5


def same_size(prediction: Array, label: Array) -> tuple[Array, Array]:
    """Both flat; raises InputError where they do not hold equally many values."""
    if prediction.size != label.size:
        raise InputError(
            f"a label has shape {list(label.shape)}, but a prediction {list(prediction.shape)}: "
            "give one label for each prediction."
        )
    return prediction.reshape(-1), label.reshape(-1)


def difference(left: Array, right: Array) -> float:
    """The largest absolute difference; for text, 1 where it differs."""
    if left.shape != right.shape:
        return sys.float_info.max  # infinity has no JSON
    if left.dtype.kind not in "fiub":
        return float(not np.array_equal(left, right))
    both = np.isfinite(left) & np.isfinite(right)
    gap = np.abs(left[both].astype(np.float64) - right[both].astype(np.float64))
    return float(gap.max(initial=0.0))


def mean(rows: Rows) -> float:
    """Over the samples."""
    return float(rows.mean())


def itself(output: Array) -> Array:
    """An output is its own label."""
    return output


def commonest(truths: Sequence[Array]) -> list[Array] | None:
    """The class that occurs most, as the answer to every sample; None where truths are no classes."""
    counted: Counter[object] = Counter()
    for truth in truths:
        if truth.dtype.kind == "f" and not np.array_equal(truth, np.clip(np.round(truth), -1e9, 1e9)):
            return None
        classes, counts = np.unique(truth, return_counts=True)
        counted.update(dict(zip(classes.tolist(), counts.tolist(), strict=True)))
    if not counted:
        return None
    best, _ = counted.most_common(1)[0]
    return [np.full(truth.shape, int(best) if isinstance(best, float) else best) for truth in truths]


@dataclass(frozen=True)
class NamedMetric:
    """A metric of the registry; over several outputs, the worst counts.

    ``by_sample``: whether it can be taken of one sample. ``constant``: from the truths of all samples an
    answer for each that does not depend on the sample, and that scores well.
    """

    name: str
    sample: Callable[[Array, Array], list[float]]
    total: Callable[[Rows], float] = mean
    as_label: Callable[[Array], Array] = predictions
    by_sample: bool = True
    constant: Callable[[Sequence[Array]], list[Array] | None] | None = None

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
        if len({row.shape for row in rows}) > 1:
            raise InputError(f"the metric {self.name} needs outputs of one size: use cosine, or a function.")
        stacked = np.stack(rows)
        return min(self.total(stacked[:, output]) for output in range(stacked.shape[1]))

    def of_one(self, row: Rows) -> float | None:
        """Its value, if it has one."""
        return self.value([row]) if self.by_sample else None

    def apart(self, row: Rows, original: Rows) -> float:
        """The drop, or how far its numbers are off; what is not finite is worst of all."""
        drop = self.value([original]) - self.value([row]) if self.by_sample else np.abs(row - original).max()
        return float(drop) if np.isfinite(drop) else np.inf

    def floor(self, truths: Sequence[Mapping[str, Array]]) -> float | None:
        """The value of constant answers."""
        floors = []
        for name in truths[0]:
            of_output = [np.asarray(truth[name]) for truth in truths]
            answers = self.constant(of_output) if self.constant else None
            if answers is None:
                return None
            rows = [self.sample(answer, truth) for answer, truth in zip(answers, of_output, strict=True)]
            floors.append(self.total(np.array(rows, np.float64)))
        return min(floors)
