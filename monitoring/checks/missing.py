"""Missing: more values of a feature are no number than in the calibration data."""

from collections.abc import Iterator

from monitoring.binning import MISSING
from monitoring.checks.base import Finding, surprising
from monitoring.view import View

NAME = "missing"


def find(view: View) -> Iterator[Finding]:
    """One for each feature with too many."""
    for index, (feature, numbers) in enumerate(
        zip(view.baseline.features, view.baseline.numbers, strict=True)
    ):
        count = int(view.counts[index, MISSING])
        if surprising(count, view.requests, numbers.missing, view.baseline.samples):
            now, before = count / view.requests, numbers.missing / view.baseline.samples
            text = f"{now:.1%} of the values are missing, and {before:.1%} of the calibration data's."
            yield Finding(check=NAME, feature=feature.name, text=text, now=now, before=before)
