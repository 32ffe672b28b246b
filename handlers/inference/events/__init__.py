"""Lambda events that carry HTTP: which one it is, and both directions.

Each source is one class with ``infer`` (is it mine?), ``request`` and ``envelope``.
"""

from __future__ import annotations

from handlers.inference.errors import ContentTooLarge, RequestError
from handlers.inference.events.alb import ApplicationLoadBalancer
from handlers.inference.events.bodies import MAX_STREAM_BYTES
from handlers.inference.events.http_api import HttpApi
from handlers.inference.events.reply import Reply
from handlers.inference.events.rest_api import RestApi
from handlers.inference.service import error_response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Protocol

    from handlers.inference.messages import Request, Response
    from handlers.inference.service import Service

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
        def envelope(event: Mapping[str, Any], response: Response) -> dict[str, Any]:
            """The response as this source wants it, but for its body."""


SOURCES: tuple[type[EventSource], ...] = (HttpApi, ApplicationLoadBalancer, RestApi)


class UnknownEvent(Exception):
    """The event carries no HTTP request that this handler reads."""


def answer_event(service: Service, event: object, *, streams: bool = False) -> Reply:
    """The reply to one event, JSON as Python objects; with ``streams`` a stream where the event asks for one.

    Raises:
        UnknownEvent: no source recognises it.
    """
    source, event = _recognised(event)
    try:
        response = service.answer(source.request(event))
    except RequestError as error:
        response = error_response(error)
    reply = _reply(source, event, response, streams)
    limit = MAX_STREAM_BYTES if reply.is_streamed else source.MAX_REPLY_BYTES
    if reply.is_larger_than(limit):
        # 413 although it is the answer: only the client can change it, by asking for less, and a 5xx would
        # have it retried and the endpoint alarmed.
        refusal = ContentTooLarge(
            f"the answer is larger than the {limit} bytes that can be carried: send fewer "
            "rows, or ask for fewer outputs or for binary ones (Open Inference Protocol, binary_data_output)."
        )
        return _reply(source, event, error_response(refusal), streams)
    return reply


def refuse_event(event: object, refusal: RequestError, *, streams: bool = False) -> Reply:
    """The reply that refuses an event, whatever it asks for.

    Raises:
        UnknownEvent: no source recognises it.
    """
    return _reply(*_recognised(event), error_response(refusal), streams)


def head_of(event: object) -> Request:
    """An event's request, without its body.

    Raises:
        UnknownEvent: no source recognises it.
    """
    source, event = _recognised(event)
    return source.request({**event, "body": ""})


def _recognised(event: object) -> tuple[type[EventSource], Mapping[str, Any]]:
    """The event's source, and the event as what that reads."""
    if isinstance(event, dict):
        for source in SOURCES:
            if source.infer(event):
                return source, event
    raise UnknownEvent(
        "the event is none of API Gateway's HTTP API (payload version 2.0) or REST API, a function URL or an "
        "ALB: invoke this function through one of them."
    )


def _reply(source: type[EventSource], event: Mapping[str, Any], response: Response, streams: bool) -> Reply:
    envelope = source.envelope(event, response)
    # A REST API says in a variable of its stage what it takes: so each request is answered as its API was
    # deployed, whichever version answers.
    is_streamed = (
        streams and source is RestApi and (event.get("stageVariables") or {}).get("streaming") == "1"
    )
    return Reply(response, envelope, is_streamed=is_streamed)
