"""Emulated time: the real clock, and on top of it what calls have added.

Whatever happens by the minute (alarms, scaling) is done at every emulated minute, in order, also when an hour
passes in one call. So a rollout of ten minutes is a test of seconds.
"""

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

_log = logging.getLogger(__name__)
# While something waits for emulated time and nobody holds the clock, a minute passes in this many seconds:
# fast, and slow enough for requests that are under way to fall into it.
_SECONDS_PER_MINUTE = 0.1


class Clock:
    """The one clock of an emulator; its methods may be called from any thread."""

    def __init__(self) -> None:
        self._offset = 0.0
        self._held = False
        self._changed = threading.Condition()
        self._passing = threading.Lock()
        self._every_minute: list[Callable[[float], None]] = []
        self._last_minute = int(time.time() // 60)
        self._closed = threading.Event()

    def start(self, *every_minute: Callable[[float], None]) -> None:
        """From now on call these, in this order, at every full minute, with its time."""
        self._every_minute = list(every_minute)
        threading.Thread(target=self._follow_real_time, daemon=True).start()

    def close(self) -> None:
        """Stop following the real clock."""
        self._closed.set()

    def now(self) -> float:
        """Seconds since 1970."""
        return time.time() + self._offset

    def utc(self) -> datetime:
        """Now, as moto keeps times: UTC without saying so."""
        return datetime.fromtimestamp(self.now(), UTC).replace(tzinfo=None)

    @property
    def held(self) -> bool:
        """Whether those that wait must wait for ``advance`` or for the real clock."""
        return self._held

    def hold(self, held: bool) -> None:
        """Keep the clock from being advanced by those that wait, or let them again."""
        self._held = held

    def advance(self, seconds: float) -> None:
        """Let time pass; when this returns, all that is due until then has been done."""
        with self._passing:
            while seconds > 0:
                # A little more than the rest of the minute: sums of floats may fall short of it.
                step = min(seconds, 60 - self.now() % 60 + 0.001)
                self._offset += step
                seconds -= step
                self._do_what_is_due()
        with self._changed:
            self._changed.notify_all()

    def wait_until(self, moment: float, given_up: Callable[[], bool]) -> bool:
        """Wait for a time, and advance to it unless held; False if ``given_up`` says so before."""
        while not given_up():
            missing = moment - self.now()
            if missing <= 0:
                return True
            with self._changed:
                self._changed.wait(_SECONDS_PER_MINUTE)
            if not self._held:
                self.advance(min(60.0, max(0.0, moment - self.now())))
        return False

    def _follow_real_time(self) -> None:
        while not self._closed.wait(1.0):
            with self._passing:
                self._do_what_is_due()

    def _do_what_is_due(self) -> None:
        while self._last_minute < int(self.now() // 60):
            self._last_minute += 1
            for call in self._every_minute:
                try:
                    call(self._last_minute * 60.0)
                except Exception:  # noqa: BLE001 - one service's bug must not stop the others' time
                    _log.exception("what is due every minute")


CLOCK = Clock()
