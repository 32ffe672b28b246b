"""A version of the endpoint's function, asked without its API: a request as an event, and the answer read.

For what runs beside the endpoint: it needs boto3's client of Lambda, which AWS's base image has.
"""

import base64
import json
from collections.abc import Mapping
from typing import Any, NamedTuple


class Answer(NamedTuple):
    """An HTTP answer; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class FunctionFailed(Exception):
    """The function gave no answer; the message is what Lambda says of it."""


def http_event(
    path: str, *, method: str = "POST", headers: Mapping[str, str] | None = None, body: bytes = b""
) -> dict[str, Any]:
    """The request as an HTTP API hands it to Lambda, payload format 2.0."""
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": dict(headers or {}),
        "requestContext": {"stage": "$default", "http": {"method": method, "path": path}},
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
    }


def invoke(client: Any, function: str, version: str, event: Mapping[str, Any]) -> Any:
    """What the version answers to the event.

    Raises:
        FunctionFailed: it ended, ran out of time, or raised.
    """
    done = client.invoke(FunctionName=function, Qualifier=version, Payload=json.dumps(event).encode())
    reply = json.loads(done["Payload"].read())
    if "FunctionError" in done:
        raise FunctionFailed(f"{reply.get('errorType')}: {reply.get('errorMessage')}")
    return reply


def read_answer(reply: Mapping[str, Any]) -> Answer:
    """The HTTP answer in a reply."""
    body = reply.get("body") or ""
    content = base64.b64decode(body) if reply.get("isBase64Encoded") else body.encode()
    return Answer(reply["statusCode"], dict(reply.get("headers") or {}), content)
