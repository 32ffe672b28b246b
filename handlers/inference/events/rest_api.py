"""API Gateway's REST API: payload format 1.0.

https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
"""

from __future__ import annotations

from handlers.inference.events.bodies import SIX_MEGABYTES, join_headers, lower_headers, read_body
from handlers.inference.messages import Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from handlers.inference.messages import Response


class RestApi:
    """``httpMethod`` and ``requestContext`` stand at the top."""

    MAX_REPLY_BYTES = SIX_MEGABYTES

    @staticmethod
    def infer(event: Mapping[str, Any]) -> bool:
        """Whether the event is of payload format 1.0."""
        return "httpMethod" in event and "path" in event and "requestContext" in event

    @staticmethod
    def request(event: Mapping[str, Any]) -> Request:
        """The stage is never part of ``path``; the parameters come decoded."""
        return Request(
            method=event["httpMethod"],
            path=event.get("path") or "/",
            query=_query(event.get("multiValueQueryStringParameters")),
            headers=lower_headers(event.get("headers")) | join_headers(event.get("multiValueHeaders")),
            body=read_body(event),
            route=event.get("resource") or "",
        )

    @staticmethod
    def envelope(_event: Mapping[str, Any], response: Response) -> dict[str, Any]:
        """Status and headers."""
        return {"statusCode": response.status, "headers": response.headers}


def _query(parameters: Mapping[str, list[str]] | None) -> str:
    if not parameters:
        return ""
    from urllib.parse import urlencode  # noqa: PLC0415 - few requests have any, and it costs 5 ms

    return urlencode(parameters, doseq=True)
