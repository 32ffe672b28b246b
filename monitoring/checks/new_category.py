"""New category: values that the calibration data had not, or too rarely to be known."""

from collections.abc import Iterator

import numpy as np

from monitoring.binning import place
from monitoring.checks.base import Finding, surprising
from monitoring.view import View

NAME = "new category"


def find(view: View) -> Iterator[Finding]:
    """One for each categorical feature with more of them than before."""
    base = view.baseline
    for index, feature in enumerate(base.features):
        if feature.categories is None or not feature.raw:
            continue
        codes = np.full((1, len(base.names)), float(len(feature.categories)))
        other = int(place(base.bins, codes)[0, index])
        seen = int(np.isfinite(base.edges[index]).sum())
        before = 0.0 if other == seen else float(base.weights[index, other])
        count = int(view.counts[index, other])
        if surprising(count, view.requests, before, base.samples):
            now = count / view.requests
            text = (
                f"{now:.1%} of the values are of no known category, and {before / base.samples:.1%} before."
            )
            yield Finding(check=NAME, feature=feature.name, text=text, now=now, before=before / base.samples)
