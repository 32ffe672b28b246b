"""Lambda's entry: ``awslambdaric handlers.inference.app.handler``.

The model is loaded when this module is imported, which is Lambda's init phase. Where that fails, the import
fails with one sentence, Lambda reports an init error, and no request is ever answered.
"""

import os
import time
from typing import Any

from handlers.inference.events import answer_event
from handlers.inference.loading import load
from handlers.inference.metrics import emit
from handlers.inference.service import Service
from handlers.inference.settings import from_environment

_service = Service(load(from_environment(os.environ), os.environ))
# Provisioned concurrency and snapshots initialise before any request waits for it: no cold start for anybody.
_is_cold = os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand") == "on-demand"


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer one event of API Gateway (v2 and v1), a function URL or an ALB.

    Raises:
        UnknownEvent: it is none of them; Lambda reports the sentence to whoever invoked the function.
    """
    global _is_cold  # noqa: PLW0603 - an environment's first request is a property of the process
    started = time.perf_counter()
    status, reply = answer_event(_service, event)
    emit(
        _service.model,
        status=status,
        latency_ms=(time.perf_counter() - started) * 1e3,
        is_cold=_is_cold,
        request_id=str(getattr(context, "aws_request_id", "")),
    )
    _is_cold = False
    return reply
