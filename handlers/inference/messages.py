"""HTTP without a transport: what every server and every event is turned into, and the answer."""

import msgspec


class Request(msgspec.Struct, frozen=True):
    """One HTTP request.

    ``path`` may be percent-encoded; ``query`` is raw and without ``?``; header names are in lower case.
    """

    method: str
    path: str
    query: str = ""
    headers: dict[str, str] = {}
    body: bytes = b""


class Response(msgspec.Struct, frozen=True):
    """One HTTP response; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


def json_response(content: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """``content`` as JSON."""
    return encoded_response(msgspec.json.encode(content), status, headers)


def encoded_response(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A body that is JSON already."""
    return Response(status, {"content-type": "application/json", **(headers or {})}, body)
