"""How often the model should be right, by its own confidence: an estimate without labels.

Histogram binning (Zadrozny, Elkan, "Obtaining calibrated probability estimates", 2001) on the calibration
data's labels: of requests with such a confidence so many were right then. It says nothing about requests
unlike those: under a strong drift every such estimate is wrong, so it is shown only while no alarm stands.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from monitoring.baseline import Baseline
from monitoring.windows import Windows

Array = npt.NDArray[Any]


def promised(baseline: Baseline, columns: Array) -> Array:
    """Of each request, the probability that its predicted class is right; NaN where nothing is known."""
    table = baseline.reliability
    if table is None:
        return np.full(len(columns), np.nan)
    index = next(i for i, feature in enumerate(baseline.features) if feature.name == table.feature)
    shares = (np.array(table.correct) + 0.5) / (np.array(table.counts) + 1)
    confidence = columns[:, index]
    found = shares[np.searchsorted(table.edges, confidence, side="right")]
    return np.where(np.isnan(confidence), np.nan, found)


def estimate(baseline: Baseline, windows: Windows, *, alarm: bool) -> float | None:
    """The estimated accuracy of the last requests; none where an alarm stands or no labels were known."""
    requests = int(windows.promised.sum())
    if baseline.reliability is None or alarm or not requests:
        return None
    return float(windows.expected.sum() / requests)
