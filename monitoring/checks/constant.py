"""Constant: a feature that took several values takes only one."""

from collections.abc import Iterator

from monitoring.checks.base import Finding
from monitoring.view import View

NAME = "constant"
_CHANCE = 1e-5


def find(view: View) -> Iterator[Finding]:
    """One for each feature of which so many equal values in a row are no chance."""
    for index, (feature, numbers) in enumerate(
        zip(view.baseline.features, view.baseline.numbers, strict=True)
    ):
        count, value = float(view.lately.values[index]), float(view.lately.least[index])
        if not count or value != float(view.lately.largest[index]) or numbers.min == numbers.max:
            continue
        # The most frequent bin's share is the largest that one value can have had.
        most = float(view.baseline.weights[index].max()) / view.baseline.samples
        if most**count < _CHANCE:
            text = f"the last {count:.0f} values are all {value:.6g}."
            yield Finding(check=NAME, feature=feature.name, text=text, now=value, before=numbers.mean)
