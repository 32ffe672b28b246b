"""Lambda's entry, for AWS's runtime client: ``handlers.shadow.app.handler``.

The function of the version that serves invokes it, asynchronously (handlers/inference/shadow.py). What comes
out is a line of metrics under the second version's own number: no answer, and no payload.
"""

import json
import os
import sys
from typing import Any

from handlers.inference.function import service_from
from handlers.shadow.second import SecondVersion

_version = SecondVersion(service_from(os.environ))


def handler(message: dict[str, Any], _context: object) -> None:
    """Answer one request that had its answer, and write the line.

    Raises:
        ValueError: it is no such message.
    """
    if not isinstance(message, dict) or not message.keys() >= {"shadow", "event", "reply"}:
        raise ValueError(
            "this function answers what a version that serves has answered: nobody else asks it."
        )
    sys.stdout.write(json.dumps(_version.answer(message)) + "\n")
    sys.stdout.flush()
