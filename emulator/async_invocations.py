"""Lambda's asynchronous invocations: queued, and tried again as the function's settings say."""

import logging
import threading
from concurrent.futures import ThreadPoolExecutor

from moto.awslambda.models import lambda_backends

from emulator import lambda_metrics, settings
from emulator.clock import CLOCK
from emulator.environments import CannotStart, Environments, Throttled, describe
from emulator.functions import FunctionNotFound, FunctionVersion, resolve
from emulator.images import InvalidImage

_log = logging.getLogger(__name__)
# How many events are taken from the queue at a time.
_WORKERS = 4
_OLDEST_SECONDS, _RETRIES = 21_600, 2  # where the function has no settings
# Lambda waits a second, and twice as long each time, where there is no concurrency, and minutes after an
# error. Here the waiting is real time, so it is short.
_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.05, 1.0


class AsyncInvocations:
    """The queue; its methods may be called from any thread."""

    def __init__(self, environments: Environments) -> None:
        self._environments = environments
        self._closed = threading.Event()
        self._workers = ThreadPoolExecutor(max_workers=_WORKERS, thread_name_prefix="asynchronous")

    def put(self, name: str, qualifier: str | None, region: str, payload: bytes) -> None:
        """Have the event (JSON) answered some time soon; the answer is for nobody.

        Raises:
            FunctionNotFound: there is no such function, version or alias.
        """
        function = resolve(name, qualifier, region)
        lambda_metrics.queued(function)
        self._workers.submit(self._deliver, function, payload, CLOCK.now(), *_settings(function))

    def close(self) -> None:
        """Drop what is still queued."""
        self._closed.set()
        self._workers.shutdown(wait=False, cancel_futures=True)

    def _deliver(
        self, function: FunctionVersion, payload: bytes, arrived: float, oldest: int, retries: int
    ) -> None:
        pause, errors = _PAUSE_SECONDS, 0
        while CLOCK.now() - arrived <= oldest:
            try:
                # Anew, because its concurrency may have been changed.
                function = resolve(function.name, function.asked_for, function.region)
                result = self._environments.invoke(function, payload)
            except Throttled:
                pass
            except (CannotStart, FunctionNotFound, InvalidImage) as error:
                _log.error("%s: %s", function.name, error)
                errors += 1
            else:
                if result.error is None:
                    return
                _log.error("%s: %s", function.name, describe(result))
                errors += 1
            if errors > retries or self._closed.wait(pause):
                break
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        lambda_metrics.dropped(function)


def _settings(function: FunctionVersion) -> tuple[int, int]:
    """How old an event may be, in seconds, and how often it is tried again after an error."""
    known = lambda_backends[settings.ACCOUNT][function.region].list_function_event_invoke_configs(
        function.name
    )
    for config in known["FunctionEventInvokeConfigs"]:
        return (
            config.get("MaximumEventAgeInSeconds", _OLDEST_SECONDS),
            config.get("MaximumRetryAttempts", _RETRIES),
        )
    return _OLDEST_SECONDS, _RETRIES
