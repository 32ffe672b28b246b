"""What is still under way when it is due is given up: one thread looks, and no request pays for it."""

import time
from _thread import allocate_lock, start_new_thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# Before Lambda's deadline: to wake up, to send a 504 and to end a run, with a fifteenth of a CPU (128 MB).
_MARGIN_SECONDS = 0.5
# The margin of a short time is this part of it.
_MARGIN_PART = 0.1
# The thread looks at least so often, because locks take no infinite time.
_LONGEST_SECONDS = 3600.0
_NEVER = float("inf")


def due_in(seconds_left: float | None) -> float:
    """When to give up what Lambda ends in so many seconds, on the clock of ``time.monotonic``.

    None: there is no deadline. Nor is one that has passed believed: then the clock is wrong, not the request
    late.
    """
    if seconds_left is None or seconds_left <= 0:
        return _NEVER
    return time.monotonic() + seconds_left - min(_MARGIN_SECONDS, seconds_left * _MARGIN_PART)


class Watch:
    """Calls ``give_up`` in a thread of its own where what began has not ended when it is due.

    The thread sleeps until the time that was due when it last looked. As long as what begins later is due
    later, it wakes up once in that time, however many requests there are.

    Args:
        give_up: raises nothing. Meanwhile ``end`` waits, so what is given up cannot end at the same time.
    """

    def __init__(self, give_up: "Callable[[], None]") -> None:
        self._give_up = give_up
        self._due: float | None = None  # None: nothing is under way
        self._looks_at = -_NEVER  # when the thread looks by itself
        self._is_started = False
        self._lock = allocate_lock()
        self._news = allocate_lock()  # held while there is none
        self._news.acquire()

    def begin(self, due: float) -> None:
        """Something is under way until ``end``; one at a time. ``due``: on ``time.monotonic``'s clock."""
        if not self._is_started:
            self._is_started = True
            start_new_thread(self._work, ())
        with self._lock:
            self._due = due
            if due < self._looks_at:
                self._looks_at = -_NEVER
                self._tell()

    def end(self) -> bool:
        """It has ended; whether it was in time: ``give_up`` was not called, and will not be."""
        with self._lock:
            was_in_time = self._due is not None
            self._due = None
        return was_in_time

    def _tell(self) -> None:
        try:  # noqa: SIM105 - contextlib costs an import
            self._news.release()
        except RuntimeError:
            pass  # the thread has not looked at the last news yet

    def _work(self) -> None:
        """The thread."""
        while True:
            with self._lock:
                seconds = self._look()
            self._news.acquire(timeout=seconds)

    def _look(self) -> float:
        """Give up what is due; in how many seconds to look again (-1: when there is news)."""
        if self._due is not None:
            seconds = min(self._due - time.monotonic(), _LONGEST_SECONDS)
            if seconds > 0:
                self._looks_at = self._due
                return seconds
            self._due = None
            self._give_up()
        self._looks_at = _NEVER
        return -1
