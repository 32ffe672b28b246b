"""What people are shown the last requests by: counts in bins and sums, next to the baseline's."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from monitoring import drift, windows
from monitoring.baseline import Baseline
from monitoring.binning import BINS
from monitoring.monitor import Monitor
from monitoring.windows import Moments

LATELY = 2  # slots: what came since a change that was found soon

Array = npt.NDArray[Any]


class View(NamedTuple):
    """``counts``: int64 [scores, BINS] of the last ``requests``; ``sums`` of as many, ``lately`` of fewer.

    ``repeated``: how many of ``slots`` requests came shortly before.
    """

    baseline: Baseline
    requests: int
    counts: Array
    sums: Moments
    lately: Moments
    repeated: int
    slots: int


def view(monitor: Monitor) -> View:
    """Of the last requests, at most ``drift.RECENT``."""
    state = monitor.state
    _, recent = drift.latest(state.evidence)
    counts = np.stack([np.bincount(column[column < BINS], minlength=BINS) for column in recent.T])
    sums, slots = windows.moments(state.windows, state.evidence.count)
    lately, _ = windows.moments(state.windows, state.evidence.count, LATELY)
    return View(monitor.baseline, len(recent), counts, sums, lately, int(state.windows.repeated.sum()), slots)
