"""A metric that the user wrote."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from optimizer.errors import InputError
from optimizer.metrics.base import difference
from optimizer.runtime import Array


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

    def of_one(self, row: Any) -> None:
        """Unknown: the function may need several samples."""

    def apart(self, row: Any, original: Any) -> float:
        """The largest difference of an output."""
        return max(difference(output, original[0][name]) for name, output in row[0].items())

    def floor(self, truths: Sequence[Any]) -> None:
        """Unknown."""


def _together(samples: list[Any]) -> Any:
    if isinstance(samples[0], Mapping):
        by_name = {name: _together([sample[name] for sample in samples]) for name in samples[0]}
        return next(iter(by_name.values())) if len(by_name) == 1 else by_name
    if len({sample.shape for sample in samples}) > 1:
        return samples
    return np.concatenate(samples) if samples[0].ndim and samples[0].shape[0] == 1 else np.stack(samples)
