"""API Gateway's HTTP API and function URLs: payload format 2.0.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
"""

from __future__ import annotations

from handlers.inference.events.bodies import SIX_MEGABYTES, lower_headers, read_body
from handlers.inference.messages import Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from handlers.inference.messages import Response


class HttpApi:
    """``version`` is 2.0 and ``requestContext`` has ``http``."""

    MAX_REPLY_BYTES = SIX_MEGABYTES

    @staticmethod
    def infer(event: Mapping[str, Any]) -> bool:
        """Whether the event is of payload format 2.0."""
        return event.get("version") == "2.0" and "http" in event.get("requestContext", {})

    @staticmethod
    def request(event: Mapping[str, Any]) -> Request:
        """A named stage is part of ``rawPath``; the default stage is not."""
        context = event["requestContext"]
        path, stage = event.get("rawPath") or "/", context.get("stage", "$default")
        if stage != "$default":
            path = path.removeprefix(f"/{stage}") or "/"
        return Request(
            method=context["http"]["method"],
            path=path,
            query=event.get("rawQueryString") or "",
            headers=lower_headers(event.get("headers")),
            body=read_body(event),
            route=(event.get("routeKey") or "").partition(" ")[2],
        )

    @staticmethod
    def envelope(_event: Mapping[str, Any], response: Response) -> dict[str, Any]:
        """Status and headers."""
        return {"statusCode": response.status, "headers": response.headers}
