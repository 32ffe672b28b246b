"""Quality: a metric on labelled requests, one after the other, against the verified figure.

A request's metric is a number in [0, 1] (1 for a right class, 0 for a wrong one; agreement; an overlap),
whose mean was ``verified``. The bets are 1 + k (verified - x): of mean at most 1 as long as the mean is no
worse (Waudby-Smith, Ramdas, "Estimating means of bounded random variables by betting", 2024), for 0 and 1 the
likelihood ratio of a drop. A few sizes of drop are bet on, by Shiryaev and Roberts' sum over all moments at
which it may have begun (as in drift.py), which here begins at ``_HEAD_START``, so that a drop at the first
label is seen as soon as a later one. Within N labels a false alarm has a probability of at most (N + head
start) / ``THRESHOLD``.

Where the verified figure is of 0s and 1s of ``samples`` samples, its own uncertainty is part of the bet: the
prediction is that of Polya's urn with those samples in it, as in drift.py.
"""

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

_HEAD_START = 300.0
THRESHOLD = 230_000.0  # a false alarm in 2,000 labels: 1 %
# Of what is right, the odds after a drop, and how much of the bet is on it: most on twice as many errors.
_ODDS = (0.8, 0.6, 0.48, 0.35, 0.15)
_WEIGHTS = (0.03, 0.07, 0.8, 0.07, 0.03)

Array = npt.NDArray[Any]


class Quality(msgspec.Struct, kw_only=True):
    """State: of ``verified`` on ``samples`` (0: exactly known), after ``count`` labels of sum ``total``."""

    verified: float
    samples: int
    count: int = 0
    total: float = 0.0
    statistic: list[float] = msgspec.field(default_factory=lambda: [_HEAD_START] * len(_ODDS))
    alarm_at: int | None = None

    @property
    def evidence(self) -> float:
        """1 is an alarm."""
        return sum(w * r for w, r in zip(_WEIGHTS, self.statistic, strict=True)) / THRESHOLD


def advance(state: Quality, values: Array) -> None:
    """Look at the metric of labelled requests, in the order in which the requests came.

    Raises:
        ValueError: a value lies outside of [0, 1].
    """
    values = np.asarray(values, np.float64)
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError("the metric of a request must lie between 0 and 1.")
    statistic = np.array(state.statistic)
    for value in values.tolist():
        expected = _expected(state)
        dropped = expected * np.array(_ODDS) / (1 - expected + expected * np.array(_ODDS))
        factors = 1 + (expected - dropped) / (expected * (1 - expected)) * (expected - value)
        statistic = np.minimum((statistic + 1) * factors, 1e200)
        state.count += 1
        if state.alarm_at is None:
            state.total += value
            if float(statistic @ _WEIGHTS) >= THRESHOLD:
                state.alarm_at = state.count - 1
    state.statistic = statistic.tolist()


def _expected(state: Quality) -> float:
    """What the next value should be on average."""
    if not state.samples:
        return float(np.clip(state.verified, 0.001, 0.999))
    right = state.verified * state.samples + 0.5
    return (right + state.total) / (state.samples + 1 + min(state.count, state.alarm_at or state.count))
