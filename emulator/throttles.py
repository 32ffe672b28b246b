"""How many requests an API lets through: token buckets, and the quotas of API keys."""

import threading
from collections import defaultdict
from dataclasses import dataclass

from emulator.clock import CLOCK


@dataclass(frozen=True)
class Limit:
    """A bucket of ``burst`` tokens that fills by ``rate`` a second; ``name`` says whose."""

    name: str
    rate: float
    burst: float


@dataclass(frozen=True)
class Allowance:
    """So many requests in a ``DAY``, ``WEEK`` or ``MONTH``; ``name`` says whose."""

    name: str
    limit: int
    period: str


class Throttles:
    """What was used of each limit and quota."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._buckets: dict[Limit, tuple[float, float]] = {}
        self._used: dict[tuple[str, str], int] = defaultdict(int)

    def take(self, limit: Limit) -> bool:
        """Take one token, if there is one. Another rate or burst is another, full bucket."""
        with self._lock:
            now = CLOCK.now()
            tokens, then = self._buckets.get(limit, (limit.burst, now))
            tokens = min(limit.burst, tokens + (now - then) * limit.rate)
            is_let_through = tokens >= 1
            self._buckets[limit] = (tokens - is_let_through, now)
            return is_let_through

    def count(self, allowance: Allowance) -> bool:
        """Count one request, if the quota allows it."""
        window = CLOCK.utc().strftime(_WINDOWS[allowance.period])
        with self._lock:
            used = self._used[allowance.name, window]
            if used >= allowance.limit:
                return False
            self._used[allowance.name, window] = used + 1
            return True


_WINDOWS = {"DAY": "%Y-%m-%d", "WEEK": "%G-%V", "MONTH": "%Y-%m"}
