"""Which memory size to take, from what was measured: the strategies of AWS Lambda Power Tuning."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from coldpress.prices import Prices

STRATEGIES = ("cost", "speed", "balanced")
_MB_PER_VCPU = 1769
_WEIGHT = 0.5  # of cost in `balanced`; the rest is speed's


class Row(NamedTuple):
    """One memory size: mean latency, median cold start, and what a million requests cost by it."""

    memory_mb: int
    vcpus: float
    threads: int
    latency_ms: float
    cold_start_ms: float | None
    usd_per_million: float


def vcpus(memory_mb: int) -> float:
    """The share of CPUs that Lambda gives for so much memory."""
    return memory_mb / _MB_PER_VCPU


def usd_per_million(memory_mb: int, latency_ms: float, architecture: str, prices: Prices) -> float:
    """Requests and duration on demand, without cold starts and what stands around the function."""
    gb_seconds = 1e6 * math.ceil(latency_ms) / 1e3 * memory_mb / 1024
    return prices.lambda_request.of(1e6) + prices.duration(architecture).of(gb_seconds)


def recommend(rows: Sequence[Row], strategy: str) -> Row:
    """The cheapest, the quickest, or the best of both, each as a share of the worst; then the smaller one."""
    dearest = max(row.usd_per_million for row in rows)
    slowest = max(row.latency_ms for row in rows)

    def score(row: Row) -> float:
        if strategy == "cost":
            return row.usd_per_million
        if strategy == "speed":
            return row.latency_ms
        return _WEIGHT * row.usd_per_million / dearest + (1 - _WEIGHT) * row.latency_ms / slowest

    return min(rows, key=lambda row: (score(row), row.memory_mb))
