"""Silent: no request has come for a time in which many should have.

The count of a time without requests is held against a Poisson distribution (as in Kleinberg, "Bursty and
hierarchical structure in streams", 2002, whose base state is such a process) of the rate that the same hours
of the last week had; before there was a week, of the mean rate.
"""

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

_HOUR_S = 3600
_WEEK = 168
_EXPECTED = 20.0  # requests whose absence has a probability of 2e-9

Array = npt.NDArray[Any]


class Traffic(msgspec.Struct, kw_only=True):
    """``hours``: requests by hour since 1970, of the last two weeks; ``first``, ``last``: times."""

    hours: dict[int, int] = {}
    first: float | None = None
    last: float | None = None


def note(traffic: Traffic, times: Array) -> None:
    """Count requests, in any order."""
    hours, counts = np.unique(np.asarray(times, np.float64) // _HOUR_S, return_counts=True)
    for hour, count in zip(hours.astype(int).tolist(), counts.tolist(), strict=True):
        traffic.hours[hour] = traffic.hours.get(hour, 0) + count
    traffic.last = max(float(np.max(times)), traffic.last or -np.inf)
    traffic.first = min(float(np.min(times)), traffic.first if traffic.first is not None else np.inf)
    newest = int(traffic.last // _HOUR_S)
    traffic.hours = {hour: count for hour, count in traffic.hours.items() if hour > newest - 2 * _WEEK}


def is_silent(traffic: Traffic, now: float) -> bool:
    """Whether at least ``_EXPECTED`` requests should have come since the last one, and none did."""
    return expected(traffic, now) >= _EXPECTED


def expected(traffic: Traffic, now: float) -> float:
    """How many requests should have come since the last one."""
    if traffic.last is None or traffic.first is None or now <= traffic.last:
        return 0.0
    began = max(traffic.first, (traffic.last // _HOUR_S - 2 * _WEEK) * _HOUR_S)
    mean = sum(traffic.hours.values()) / max((traffic.last - began) / _HOUR_S, 1.0)
    total, moment = 0.0, traffic.last
    end = min(now, traffic.last + _WEEK * _HOUR_S)
    while moment < end:
        hour = int(moment // _HOUR_S)
        until = min(end, (hour + 1) * _HOUR_S)
        known = (hour - _WEEK) * _HOUR_S >= traffic.first
        rate = traffic.hours.get(hour - _WEEK, 0) if known else mean
        total += rate * (until - moment) / _HOUR_S
        moment = until
    return total
