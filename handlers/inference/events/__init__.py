"""Lambda events that carry HTTP: which one it is, and both directions.

Each source is one class with ``infer`` (is it mine?), ``request`` and ``reply``.
"""

import json
from collections.abc import Mapping
from typing import Any, Protocol

from handlers.inference.errors import ContentTooLarge, RequestError
from handlers.inference.events.alb import ApplicationLoadBalancer
from handlers.inference.events.http_api import HttpApi
from handlers.inference.events.rest_api import RestApi
from handlers.inference.messages import Request, Response
from handlers.inference.service import Service, error_response

# A reply is measured exactly only where it could be too large: escaping makes a body at most 6 times longer.
_MEASURE_FROM = 6
_ENVELOPE_BYTES = 4096


class EventSource(Protocol):
    """One shape of event."""

    MAX_REPLY_BYTES: int

    @staticmethod
    def infer(event: Mapping[str, Any]) -> bool:
        """Whether the event has this shape."""

    @staticmethod
    def request(event: Mapping[str, Any]) -> Request:
        """The event as a request; raises RequestError where its body is not what it says."""

    @staticmethod
    def reply(event: Mapping[str, Any], response: Response) -> dict[str, Any]:
        """The response as this source wants it."""


SOURCES: tuple[type[EventSource], ...] = (HttpApi, ApplicationLoadBalancer, RestApi)


class UnknownEvent(Exception):
    """The event carries no HTTP request that this handler reads."""


def answer_event(service: Service, event: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
    """The status and the reply to one event.

    Raises:
        UnknownEvent: no source recognises it.
    """
    source = next((source for source in SOURCES if isinstance(event, dict) and source.infer(event)), None)
    if source is None:
        raise UnknownEvent(
            "the event is none of API Gateway's HTTP API (payload version 2.0) or REST API, a function URL "
            "or an ALB: invoke this function through one of them."
        )
    try:
        response = service.answer(source.request(event))
    except RequestError as error:
        response = error_response(error)
    reply = source.reply(event, response)
    if _is_too_large(reply["body"], source.MAX_REPLY_BYTES):
        # 413 although it is the answer: only the client can change it, by asking for less, and a 5xx would
        # have it retried and the endpoint alarmed.
        refusal = ContentTooLarge(
            f"the answer is larger than the {source.MAX_REPLY_BYTES} bytes that can be carried: send fewer "
            "rows, or ask for fewer outputs or for binary ones (Open Inference Protocol, binary_data_output)."
        )
        response = error_response(refusal)
        reply = source.reply(event, response)
    return response.status, reply


def _is_too_large(body: str, limit: int) -> bool:
    """Whether the reply with this body, escaped as the runtime client escapes it, exceeds the limit."""
    limit -= _ENVELOPE_BYTES
    return len(body) * _MEASURE_FROM > limit and len(json.dumps(body)) > limit
