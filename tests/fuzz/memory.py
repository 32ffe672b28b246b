"""A harness's memory while it runs: libFuzzer never comes back to look at it at the end."""

import sys
from pathlib import Path

_PAGE = 4096


def resident_mib() -> int:
    """This process's memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE // 2**20


class Watch:
    """Ends the process where memory grows by more than ``allowed_mib`` after the first ``every`` runs.

    libFuzzer's own corpus is part of it.
    """

    def __init__(self, every: int, allowed_mib: int) -> None:
        self._every, self._allowed_mib = every, allowed_mib
        self._runs = self._first = 0

    def ran(self) -> None:
        """Count one run."""
        self._runs += 1
        if self._runs % self._every:
            return
        now = resident_mib()
        self._first = self._first or now
        print(
            f"{self._runs} runs: {now} MiB, {self._first} MiB after the first {self._every}", file=sys.stderr
        )
        if now - self._first > self._allowed_mib:
            raise MemoryError(f"{now - self._first} MiB more than after {self._every} runs")
