"""Pools of Lambda environments (``emulator.environment``).

An environment takes one request at a time. A request takes an idle one, or starts a new one as long as the
function's reserved concurrency allows, or the account's for the functions that reserve none; above it is
throttled, as in Lambda.
"""

import itertools
import threading
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from emulator import lambda_metrics, settings
from emulator.environment import CannotStart, Environment, Result, describe, find_rie
from emulator.functions import FunctionVersion
from emulator.images import ImageStore

__all__ = ["CannotStart", "Environments", "Result", "Throttled", "describe", "find_rie"]
_IDLE_SECONDS = 300.0


class Throttled(Exception):
    """All of the function's concurrency is in use."""


class Environments:
    """All environments of one emulator; its methods may be called from any thread."""

    def __init__(self, images: ImageStore, logs: Path) -> None:
        self._images = images
        self._logs = logs
        self._lock = threading.Lock()
        self._idle: dict[FunctionVersion, list[Environment]] = defaultdict(list)
        self._busy: dict[FunctionVersion, int] = defaultdict(int)
        # Those that are initialised ahead, idle or busy.
        self._provisioned: dict[FunctionVersion, list[Environment]] = defaultdict(list)
        self._reserved: dict[str, int | None] = {}  # by function, as last seen
        self._retired: set[FunctionVersion] = set()
        self._numbers = itertools.count(1)
        self._closed = threading.Event()
        # Children die with the thread that started them (PDEATHSIG), so one thread that lives as long as
        # this process starts them all.
        self._starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="starter")
        threading.Thread(target=self._stop_idle, daemon=True).start()

    def invoke(self, function: FunctionVersion, payload: bytes) -> Result:
        """Send ``payload`` (JSON) to an environment of ``function``.

        Raises:
            Throttled: no environment is free and no more may be started.
            CannotStart: none could be started.
        """
        try:
            environment = self._acquire(function)
        except Throttled:
            lambda_metrics.throttled(function)
            raise
        usable = False
        self._count_start(function, environment)
        began, cold_ms = time.monotonic(), environment.init_ms
        try:
            result = environment.invoke(payload)
            # A handler that raised can go on; a runtime that died or was cut off cannot.
            usable = result.error in (None, "Handled")
            # What its first request waited for is the initialisation, which is no part of a duration.
            waited = environment.init_ms - cold_ms
            duration_ms = max(0.0, (time.monotonic() - began) * 1000 - waited)
            lambda_metrics.ended(function, duration_ms=duration_ms, failed=result.error is not None)
            return result
        finally:
            self._release(function, environment if usable else None)
            if not usable:
                self._forget(function, environment)

    def provision(self, function: FunctionVersion, count: int) -> None:
        """Keep ``count`` environments of ``function`` initialised ahead of requests.

        Raises:
            CannotStart: an initialisation failed; those that succeeded stay.
        """
        self._deprovision(function, count)
        while len(self._provisioned[function]) < count and not self._closed.is_set():
            environment = self._start(function, next(self._numbers), provisioned=True)
            result = environment.initialise()
            if result.error:
                environment.stop()
                raise CannotStart(f"An initialisation failed: {describe(result)}")
            with self._lock:
                self._provisioned[function].append(environment)
                self._idle[function].append(environment)

    def provisioned(self, function: FunctionVersion) -> int:
        """How many environments of ``function`` are initialised ahead and alive."""
        with self._lock:
            return sum(environment.alive() for environment in self._provisioned[function])

    def keep_only(self, functions: set[FunctionVersion]) -> None:
        """Drain the environments of all other versions: idle ones stop now, busy ones after their request.

        What is provisioned stays, whether or not an alias names it.
        """
        with self._lock:
            kept = functions | {function for function, ahead in self._provisioned.items() if ahead}
            self._retired = (set(self._idle) | set(self._busy)) - kept
            idle = [environment for function in self._retired for environment in self._idle.pop(function, [])]
        for environment in idle:
            environment.stop()

    def read_logs(self) -> None:
        """Take the metrics out of what idle environments wrote after they had answered."""
        with self._lock:
            for pool in self._idle.values():
                for environment in pool:
                    environment.read_log()

    def close(self) -> None:
        """Stop every environment, busy or not."""
        self._closed.set()
        with self._lock:
            idle = [environment for pool in self._idle.values() for environment in pool]
            self._idle.clear()
        for environment in idle:
            environment.stop()
        self._starter.shutdown()

    def _acquire(self, function: FunctionVersion) -> Environment:
        with self._lock:
            self._retired.discard(function)
            self._check_concurrency(function)
            pool = self._idle[function]
            while pool:
                # One that is paid for anyway comes first.
                index = next((i for i, environment in enumerate(pool) if environment.provisioned), -1)
                environment = pool.pop(index)
                if environment.alive():
                    self._busy[function] += 1
                    return environment
                self._discard(function, environment)
            self._busy[function] += 1
            number = next(self._numbers)
        try:
            return self._start(function, number)
        except BaseException:
            self._release(function, None)
            raise

    def _check_concurrency(self, function: FunctionVersion) -> None:
        self._reserved[function.name] = function.reserved
        if function.reserved is not None:
            limit, sharing = function.reserved, {function.name}
        else:
            limit = settings.ACCOUNT_CONCURRENCY
            sharing = {name for name, reserved in self._reserved.items() if reserved is None}
        if sum(count for other, count in self._busy.items() if other.name in sharing) >= limit:
            raise Throttled("Rate Exceeded.")

    def _count_start(self, function: FunctionVersion, environment: Environment) -> None:
        with self._lock:
            ahead = self._provisioned[function]
            idle = sum(1 for other in self._idle[function] if other.provisioned)
            running = sum(count for other, count in self._busy.items() if other.name == function.name)
        lambda_metrics.started(function, running=running)
        if ahead:
            lambda_metrics.provisioned(
                ahead[0].function,  # what it was asked for counts, whichever alias the request came through
                spilled_over=not environment.provisioned,
                busy=len(ahead) - idle,
                kept=len(ahead),
            )

    def _release(self, function: FunctionVersion, environment: Environment | None) -> None:
        with self._lock:
            self._busy[function] -= 1
            if environment and function not in self._retired and not self._closed.is_set():
                environment.idle_since = time.monotonic()
                self._idle[function].append(environment)
                return
        if environment:
            environment.stop()

    def _deprovision(self, function: FunctionVersion, count: int) -> None:
        """Stop keeping those above ``count``, and those that died."""
        with self._lock:
            ahead = self._provisioned[function]
            ahead[:] = [environment for environment in ahead if environment.alive()]
            surplus = ahead[count:]
            del ahead[count:]
            for environment in surplus:
                environment.provisioned = False  # if it is busy, it ends as any other that is idle
            idle = [environment for environment in self._idle[function] if environment in surplus]
            self._idle[function] = [other for other in self._idle[function] if other not in idle]
        for environment in idle:
            environment.stop()

    def _forget(self, function: FunctionVersion, environment: Environment) -> None:
        with self._lock:
            self._discard(function, environment)

    def _discard(self, function: FunctionVersion, environment: Environment) -> None:
        if environment.provisioned and environment in self._provisioned[function]:
            self._provisioned[function].remove(environment)
        environment.stop()

    def _start(self, function: FunctionVersion, number: int, *, provisioned: bool = False) -> Environment:
        image = self._images.find(function.image_uri)
        log = self._logs / function.name / f"{function.version.replace('$', '')}-{number}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        for attempt in itertools.count(1):
            environment = self._starter.submit(
                Environment, function, image, log, provisioned=provisioned
            ).result()
            if environment.wait_until_ready():
                return environment
            environment.stop()
            if attempt == 3:  # a port may be taken between choosing and using it; thrice is no accident
                raise CannotStart(f"An environment of {function.name} did not start: see {log}.")
        raise AssertionError("unreachable")

    def _stop_idle(self) -> None:
        while not self._closed.wait(_IDLE_SECONDS / 10):
            oldest = time.monotonic() - _IDLE_SECONDS
            with self._lock:
                stale = [
                    environment
                    for pool in self._idle.values()
                    for environment in pool
                    if environment.idle_since < oldest and not environment.provisioned
                ]
                for pool in self._idle.values():
                    pool[:] = [environment for environment in pool if environment not in stale]
            for environment in stale:
                environment.stop()
