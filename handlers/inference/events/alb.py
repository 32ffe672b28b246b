"""An Application Load Balancer's target event.

https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html
"""

from __future__ import annotations

from handlers.inference.events.bodies import join_headers, lower_headers, read_body
from handlers.inference.messages import Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from handlers.inference.messages import Response

# Those that the service answers with; http.HTTPStatus has all, and costs a cold start 5 ms.
_WORDS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}


class ApplicationLoadBalancer:
    """``requestContext`` has ``elb``."""

    # An ALB carries 1 MB both ways, less than Lambda itself.
    MAX_REPLY_BYTES = 1024**2

    @staticmethod
    def infer(event: Mapping[str, Any]) -> bool:
        """Whether the event comes from an ALB."""
        return "elb" in event.get("requestContext", {})

    @staticmethod
    def request(event: Mapping[str, Any]) -> Request:
        """Parameters come as the client encoded them."""
        multi = event.get("multiValueQueryStringParameters")
        single = event.get("queryStringParameters") or {}
        pairs = [(n, v) for n, vs in multi.items() for v in vs] if multi else list(single.items())
        return Request(
            method=event["httpMethod"],
            path=event.get("path") or "/",
            query="&".join(f"{name}={value}" for name, value in pairs),
            headers=lower_headers(event.get("headers")) | join_headers(event.get("multiValueHeaders")),
            body=read_body(event),
        )

    @staticmethod
    def envelope(event: Mapping[str, Any], response: Response) -> dict[str, Any]:
        """A target group with multi-value headers wants lists back, and every ALB the status' words."""
        headers: dict[str, Any] = (
            {"multiValueHeaders": {name: [value] for name, value in response.headers.items()}}
            if "multiValueHeaders" in event
            else {"headers": response.headers}
        )
        words = _WORDS.get(response.status, "Other")
        return {"statusCode": response.status, "statusDescription": f"{response.status} {words}", **headers}
