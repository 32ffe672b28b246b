"""How good a model's answers are. Larger is better for every metric, so that a drop means a loss.

A metric turns each sample into a row of numbers, and rows into one value: so that samples can be resampled,
and outputs need not be kept. Without labels, the original model's outputs take their place.
"""

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


def mean(rows: Rows) -> float:
    """Over the samples."""
    return float(rows.mean())


def itself(output: Array) -> Array:
    """An output is its own label."""
    return output


@dataclass(frozen=True)
class NamedMetric:
    """A metric of the registry; over several outputs, the worst counts."""

    name: str
    sample: Callable[[Array, Array], list[float]]
    total: Callable[[Rows], float] = mean
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
