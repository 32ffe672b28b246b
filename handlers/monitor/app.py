"""Lambda's entry, for AWS's runtime client: ``handlers.monitor.app.handler``.

EventBridge's schedule invokes it (infra/constructs/monitor.py). What comes out is a line of the log a
version, and in the captures' bucket the state, ``status.json`` and ``status.html``. Nothing of what was
captured is in the log. A run that cannot look, or finds that nobody asks any more, fails: an alarm watches
Lambda's own count of that, which also sees a run that was killed.
"""

import os
import sys
import time
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

# In the image numpy and msgspec are here, where the endpoint never looks; elsewhere they are installed.
sys.path.insert(0, str(Path(__file__).with_name("packages")))

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from handlers.inference import log
from handlers.monitor.job import Job, Settings
from handlers.monitor.metrics import problem_line

# Before Lambda ends it, what was read must be saved, and an object that was begun be read to its end.
_MARGIN_SECONDS = 60.0
_CONFIG = Config(connect_timeout=5, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 4})


class RunFailed(Exception):
    """Nothing is known, or nobody asks; the message says why."""


def handler(event: dict[str, Any], context: Any) -> None:
    """Watch: one run.

    The time is that of the schedule, ``time`` of the event, else the clock's.

    Raises:
        RunFailed: there is trouble, or what nobody expected; without the words of others' exceptions, which
            may quote a payload.
    """
    left = context.get_remaining_time_in_millis() / 1e3 if context is not None else 300.0
    due = time.monotonic() + max(left - _MARGIN_SECONDS, left / 2)
    settings = Settings.from_environment(os.environ)
    job = Job(_client(), settings)
    try:
        for line in job.run(_now(event), due):
            sys.stdout.write(line + "\n")
    except Exception as error:  # noqa: BLE001 - whatever it is, somebody must be told, and no payload
        code = f" {error.response['Error']['Code']}" if isinstance(error, ClientError) else ""
        why = f"{type(error).__name__}{code} at {log.place_of(error)}"
        sys.stdout.write(problem_line(settings.model, settings.version, why) + "\n")
        raise RunFailed(why) from None
    finally:
        sys.stdout.flush()
    if job.trouble:
        raise RunFailed(job.trouble)


def _now(event: dict[str, Any]) -> float:
    moment = event.get("time") if isinstance(event, dict) else None
    return datetime.fromisoformat(moment).timestamp() if isinstance(moment, str) else time.time()


@cache
def _client() -> Any:
    make: Any = boto3.client  # what it makes is only known at run time
    return make("s3", config=_CONFIG)
