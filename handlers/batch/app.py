"""Lambda's entry, for AWS's runtime client: ``handlers.batch.app.handler``.

The batch's state machine asks (infra/constructs/batch.py): for each object, and once at the end.
"""

import os
from functools import cache
from typing import Any

import boto3
from botocore.config import Config

from handlers.batch.item import answer_object
from handlers.batch.report import report_failures

# A first answer may take as long as an init and a timeout; what stays busy for longer is the state machine's
# matter, which waits without being billed for it.
_CONFIG = Config(read_timeout=60, retries={"mode": "standard", "total_max_attempts": 4})


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Answer the object ``key`` of the batch ``job``; without a key, report on the whole batch."""
    job = event["job"]
    if "key" in event:
        return answer_object(
            job, event["key"], os.environ["COLDPRESS_FUNCTION"], _client("s3"), _client("lambda")
        )
    return report_failures(job, event["manifest"], _client("s3"))


@cache
def _client(service: str) -> Any:
    make: Any = boto3.client  # what it makes is only known at run time
    return make(service, config=_CONFIG)
