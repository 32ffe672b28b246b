"""Out of range: more values than chance brings lie below or above all of the calibration data."""

from collections.abc import Iterator

import numpy as np

from monitoring.checks.base import Finding, surprising
from monitoring.view import View

NAME = "out of range"


def find(view: View) -> Iterator[Finding]:
    """One for each numeric feature and end."""
    for index, (feature, numbers) in enumerate(
        zip(view.baseline.features, view.baseline.numbers, strict=True)
    ):
        if feature.categories is not None or not numbers.quantiles:
            continue
        above = int(np.isfinite(view.baseline.edges[index]).sum())
        for place, end, value in ((0, "below", numbers.min), (above, "above", numbers.max)):
            count = int(view.counts[index, place])
            if surprising(count, view.requests, 0, view.baseline.samples):
                now = count / view.requests
                text = f"{now:.1%} of the values are {end} {value:.6g}, and none of the calibration data's."
                yield Finding(check=NAME, feature=feature.name, text=text, now=now, before=0.0)
