"""HTTP to API Gateway's event (payload format 2.0), and a handler's answer to HTTP.

As documented in "Working with AWS Lambda proxy integrations for HTTP APIs". Where that is silent, what others
observed on real APIs: the path arrives percent-decoded, and a body is text only for text/*, JSON, XML and
JavaScript.
"""

import base64
import binascii
import json
import time
import uuid
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote

from emulator import settings

Event = dict[str, Any]
_TEXT_TYPES = ("application/json", "application/xml", "application/javascript")
# What the connection needs to know, not the function.
_HOP_BY_HOP = (
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
)


class MalformedAnswer(Exception):
    """The handler returned what API Gateway cannot send."""


@dataclass(frozen=True)
class HttpRequest:
    """A request as it arrived; header names are lower-case, repeated ones are joined by commas."""

    method: str
    raw_path: str
    query: str
    headers: dict[str, str]
    body: bytes
    source_ip: str = "127.0.0.1"
    protocol: str = "HTTP/1.1"


@dataclass(frozen=True)
class HttpResponse:
    """What goes back; a list of headers, because a cookie has one each."""

    status: int
    body: bytes
    headers: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Target:
    """Where a request was routed to."""

    api_id: str
    stage: str
    route_key: str
    path_parameters: dict[str, str]
    stage_variables: dict[str, str]
    access_key: str | None = None  # of the caller, where the route asks for IAM
    claims: dict[str, Any] | None = None  # of the caller's token, where the route asks for one


def to_event(request: HttpRequest, target: Target) -> Event:
    """The event that API Gateway sends for ``request``."""
    headers = {name: value for name, value in request.headers.items() if name not in _HOP_BY_HOP}
    cookies = [cookie.strip() for cookie in headers.pop("cookie", "").split(";") if cookie.strip()]
    host = headers.get("host", "localhost")
    headers.setdefault("x-forwarded-for", request.source_ip)
    headers.setdefault("x-forwarded-port", host.rpartition(":")[2] if ":" in host else "80")
    headers.setdefault("x-forwarded-proto", "http")
    headers.setdefault("x-amzn-trace-id", f"Root=1-{int(time.time()):08x}-{uuid.uuid4().hex[:24]}")
    event: Event = {
        "version": "2.0",
        "routeKey": target.route_key,
        "rawPath": unquote(request.raw_path),
        "rawQueryString": request.query,
        "headers": headers,
        "requestContext": _context(request, target, host),
        "isBase64Encoded": False,
    }
    if cookies:
        event["cookies"] = cookies
    query = _joined(parse_qsl(request.query, keep_blank_values=True))
    if query:
        event["queryStringParameters"] = query
    if target.path_parameters:
        event["pathParameters"] = target.path_parameters
    if target.stage_variables:
        event["stageVariables"] = target.stage_variables
    if request.body:
        event["body"], event["isBase64Encoded"] = _encode(request.body, headers.get("content-type", ""))
    return event


def _context(request: HttpRequest, target: Target, host: str) -> Event:
    now = time.time()
    context: Event = {
        "accountId": settings.ACCOUNT,
        "apiId": target.api_id,
        "domainName": host,
        "domainPrefix": target.api_id,
        "http": {
            "method": request.method,
            "path": unquote(request.raw_path),
            "protocol": request.protocol,
            "sourceIp": request.source_ip,
            "userAgent": request.headers.get("user-agent", ""),
        },
        "requestId": base64.urlsafe_b64encode(uuid.uuid4().bytes[:11]).decode().rstrip("=") + "=",
        "routeKey": target.route_key,
        "stage": target.stage,
        "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
        "timeEpoch": int(now * 1000),
    }
    if target.claims is not None:
        claims = {name: _claim(value) for name, value in target.claims.items()}
        context["authorizer"] = {"jwt": {"claims": claims, "scopes": None}}
    if target.access_key is not None:
        context["authorizer"] = {
            "iam": {
                "accessKey": target.access_key,
                "accountId": settings.ACCOUNT,
                "callerId": target.access_key,
                "cognitoIdentity": None,
                "principalOrgId": None,
                "userArn": f"arn:aws:iam::{settings.ACCOUNT}:user/{target.access_key}",
                "userId": target.access_key,
            }
        }
    return context


def _claim(value: object) -> str:
    """API Gateway hands on every claim as text."""
    return value if isinstance(value, str) else json.dumps(value)


def _joined(pairs: list[tuple[str, str]]) -> dict[str, str]:
    joined: dict[str, str] = {}
    for name, value in pairs:
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined


def _encode(body: bytes, content_type: str) -> tuple[str, bool]:
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type.startswith("text/") or media_type in _TEXT_TYPES:
        try:
            return body.decode(), False
        except UnicodeDecodeError:
            pass  # not the text that it says it is: keep its bytes
    return base64.b64encode(body).decode(), True


def to_response(payload: bytes) -> HttpResponse:
    """What API Gateway sends for a handler's answer ``payload`` (JSON).

    Raises:
        MalformedAnswer: it is neither a response nor something that one can be made of.
    """
    try:
        answer = json.loads(payload)
    except ValueError:
        raise MalformedAnswer("not JSON") from None
    if not isinstance(answer, dict) or "statusCode" not in answer:
        # The documented inference: any JSON without a statusCode is the body of a 200.
        body = answer.encode() if isinstance(answer, str) else payload
        return HttpResponse(200, body, [("content-type", "application/json")])
    return HttpResponse(status_of(answer), body_of(answer), _headers(answer))


def status_of(answer: Event) -> int:
    """The answer's status."""
    status = answer["statusCode"]
    if isinstance(status, str) and status.isdigit():
        status = int(status)
    if isinstance(status, bool) or not isinstance(status, int) or not 100 <= status <= 599:
        raise MalformedAnswer("statusCode is no HTTP status")
    return status


def body_of(answer: Event) -> bytes:
    """The answer's body as bytes."""
    body = answer.get("body")
    if body is None:
        return b""
    if not isinstance(body, str):
        raise MalformedAnswer("body is no string")
    if not answer.get("isBase64Encoded"):
        return body.encode()
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error:
        raise MalformedAnswer("body is not base64") from None


def _headers(answer: Event) -> list[tuple[str, str]]:
    given = answer.get("headers") or {}
    cookies = answer.get("cookies") or []
    if not isinstance(given, dict) or not isinstance(cookies, list):
        raise MalformedAnswer("headers or cookies have the wrong type")
    headers = [(name.lower(), header_text(value)) for name, value in given.items()]
    if not any(name == "content-type" for name, _ in headers):
        headers.append(("content-type", "text/plain;charset=UTF-8"))
    return headers + [("set-cookie", header_text(cookie)) for cookie in cookies]


def header_text(value: object) -> str:
    """A header's value; one that would break the line is mended."""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str | int | float):
        raise MalformedAnswer("a header's value is no string")
    return str(value).replace("\r", "").replace("\n", "")
