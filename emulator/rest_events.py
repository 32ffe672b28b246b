"""HTTP to the event of API Gateway's REST APIs (payload format 1.0), and a handler's answer to HTTP.

As documented in "Lambda proxy integrations in API Gateway". That the path arrives percent-decoded is what
others observed.
"""

import base64
import json
import time
import uuid
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, unquote

from emulator import settings
from emulator.events import Event, HttpRequest, HttpResponse, MalformedAnswer, body_of, header_text, status_of

_MAX_HEAD_BYTES = 16 * 1024
_ANSWER_KEYS = {"statusCode", "headers", "multiValueHeaders", "body", "isBase64Encoded"}


@dataclass(frozen=True)
class RestTarget:
    """Where a request was routed to."""

    api_id: str
    stage: str
    resource: str
    path: str
    path_parameters: dict[str, str]
    binary_types: tuple[str, ...]
    stage_variables: dict[str, str]


def to_event(request: HttpRequest, target: RestTarget, access_key: str | None) -> Event:
    """The event that API Gateway sends for ``request``."""
    headers = dict(request.headers)
    headers.setdefault("x-forwarded-for", request.source_ip)
    headers.setdefault("x-forwarded-proto", "http")
    query: dict[str, list[str]] = {}
    for name, value in parse_qsl(request.query, keep_blank_values=True):
        query.setdefault(name, []).append(value)
    body, is_encoded = _encode(request, target.binary_types)
    return {
        "resource": target.resource,
        "path": unquote(target.path),
        "httpMethod": request.method,
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": {name: values[-1] for name, values in query.items()} or None,
        "multiValueQueryStringParameters": query or None,
        "pathParameters": target.path_parameters or None,
        "stageVariables": target.stage_variables or None,
        "requestContext": _context(request, target, access_key),
        "body": body,
        "isBase64Encoded": is_encoded,
    }


def _context(request: HttpRequest, target: RestTarget, access_key: str | None) -> Event:
    now = time.time()
    return {
        "accountId": settings.ACCOUNT,
        "apiId": target.api_id,
        "domainName": request.headers.get("host", "localhost"),
        "domainPrefix": target.api_id,
        "httpMethod": request.method,
        "identity": {
            "accessKey": access_key,
            "apiKey": request.headers.get("x-api-key"),
            "sourceIp": request.source_ip,
            "userAgent": request.headers.get("user-agent"),
            "userArn": access_key and f"arn:aws:iam::{settings.ACCOUNT}:user/{access_key}",
        },
        "path": f"/{target.stage}{unquote(target.path)}",
        "protocol": request.protocol,
        "requestId": str(uuid.uuid4()),
        "requestTime": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
        "requestTimeEpoch": int(now * 1000),
        "resourcePath": target.resource,
        "stage": target.stage,
    }


def _encode(request: HttpRequest, binary_types: tuple[str, ...]) -> tuple[str | None, bool]:
    if not request.body:
        return None, False
    media_type = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if "*/*" in binary_types or media_type in binary_types:
        return base64.b64encode(request.body).decode(), True
    return request.body.decode(errors="replace"), False


def to_response(payload: bytes) -> HttpResponse:
    """What API Gateway sends for a handler's answer ``payload`` (JSON).

    Raises:
        MalformedAnswer: it is no response; nothing is inferred here.
    """
    try:
        answer: Any = json.loads(payload)
    except ValueError:
        raise MalformedAnswer("not JSON") from None
    if not isinstance(answer, dict) or "statusCode" not in answer or answer.keys() - _ANSWER_KEYS:
        raise MalformedAnswer(
            "not an object of statusCode, headers, multiValueHeaders, body, isBase64Encoded"
        )
    return HttpResponse(status_of(answer), body_of(answer), _headers(answer))


def to_streamed_response(payload: bytes) -> HttpResponse:
    """What API Gateway sends for an answer that is streamed: JSON, eight zeros, and the body as it is.

    Raises:
        MalformedAnswer: it is no such stream.
    """
    head, separator, body = payload.partition(bytes(8))
    if not separator or len(head) > _MAX_HEAD_BYTES:
        raise MalformedAnswer(f"its first {_MAX_HEAD_BYTES} bytes are no JSON with eight zeros behind")
    return replace(to_response(head), body=body)


def _headers(answer: Event) -> list[tuple[str, str]]:
    single, multiple = answer.get("headers") or {}, answer.get("multiValueHeaders") or {}
    if not isinstance(single, dict) or not isinstance(multiple, dict):
        raise MalformedAnswer("headers have the wrong type")
    headers = [(name.lower(), header_text(value)) for name, value in single.items()]
    for name, values in multiple.items():
        if not isinstance(values, list):
            raise MalformedAnswer("multiValueHeaders have the wrong type")
        headers += [(name.lower(), header_text(value)) for value in values]
    if not any(name == "content-type" for name, _ in headers):
        headers.append(("content-type", "application/json"))
    return headers
