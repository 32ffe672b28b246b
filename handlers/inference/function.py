"""The Lambda function without its runtime client: initialised once, then an event in, a reply out.

Importing this module imports all that a request needs, so that no request waits for an import.
"""

import time

from handlers.inference import log
from handlers.inference.events import answer_event
from handlers.inference.loading import load
from handlers.inference.metrics import emit
from handlers.inference.service import Service
from handlers.inference.settings import from_environment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from handlers.inference.events.reply import Reply
    from handlers.inference.transform import Transformed


class Function:
    """The model that the environment names, behind Lambda's events.

    Raises:
        InitError: there is none; one sentence says why.
    """

    def __init__(self, environ: "Mapping[str, str]") -> None:
        label = environ.get("COLDPRESS_LABEL") or None
        self._service = Service(load(from_environment(environ), environ), label, _transform(environ))
        # Provisioned concurrency initialises before any request waits for it: no cold start for anybody.
        self._is_cold = environ.get("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand") == "on-demand"

    def answer(self, event: object, request_id: str) -> "Reply":
        """Answer one event (JSON as Python objects), and write its line of metrics.

        Raises:
            UnknownEvent: it is none of API Gateway, a function URL or an ALB.
        """
        log.about(request_id)
        started = time.perf_counter()
        reply = answer_event(self._service, event)
        emit(
            self._service.model,
            status=reply.status,
            latency_ms=(time.perf_counter() - started) * 1e3,
            is_cold=self._is_cold,
            request_id=request_id,
        )
        self._is_cold = False
        return reply


def _transform(environ: "Mapping[str, str]") -> "Transformed | None":
    """The user's, imported once the model is there; most have none."""
    name = environ.get("COLDPRESS_TRANSFORM")
    if not name:
        return None
    from handlers.inference.transform import load_transform  # noqa: PLC0415 - only where there is one

    return load_transform(name)
