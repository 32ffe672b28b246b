"""API Gateway's REST API: payload format 1.0.

https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from handlers.inference.events.bodies import SIX_MEGABYTES, join_headers, lower_headers, read_body, write_body
from handlers.inference.messages import Request, Response


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
            query=urlencode(event.get("multiValueQueryStringParameters") or {}, doseq=True),
            headers=lower_headers(event.get("headers")) | join_headers(event.get("multiValueHeaders")),
            body=read_body(event),
        )

    @staticmethod
    def reply(_event: Mapping[str, Any], response: Response) -> dict[str, Any]:
        """Status, headers, body."""
        return {"statusCode": response.status, "headers": response.headers, **write_body(response)}
