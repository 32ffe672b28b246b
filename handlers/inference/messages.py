"""HTTP without a transport: what every server and every event is turned into, and the answer."""

# The C half of the standard library's json; the other half imports re and enum, 16 ms of a cold start.
import _json

TYPE_CHECKING = False  # typing itself costs a cold start 3 ms
if TYPE_CHECKING:
    from collections.abc import Mapping

_encode = _json.make_encoder(None, repr, _json.encode_basestring, None, ":", ",", False, False, False)


class Request:
    """One HTTP request.

    Attributes:
        method: in upper case.
        path: may be percent-encoded.
        query: raw, without ``?``.
        headers: names are in lower case.
        body: as it came.
        route: by which of its routes an API brought the request, as in ``/v1/models/ocr/{proxy+}``; empty
            where there is none.
    """

    __slots__ = ("body", "headers", "method", "path", "query", "route")

    def __init__(  # noqa: PLR0913 - a request's parts
        self,
        method: str,
        path: str,
        query: str = "",
        headers: "Mapping[str, str] | None" = None,
        body: bytes = b"",
        *,
        route: str = "",
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.headers = {} if headers is None else headers
        self.body = body
        self.route = route


class Response:
    """One HTTP response; header names are in lower case.

    Attributes:
        inference_id: what the client calls its request in the body, where its protocol has a place for that.
    """

    __slots__ = ("body", "headers", "inference_id", "status")

    def __init__(
        self, status: int, headers: "dict[str, str]", body: bytes, inference_id: str | None = None
    ) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.inference_id = inference_id


def to_json(content: object) -> str:
    """``content`` as JSON without a space.

    Raises:
        ValueError: it holds a number that is not finite.
    """
    return "".join(_encode(content, 0))


def json_response(content: object, status: int = 200, headers: "dict[str, str] | None" = None) -> Response:
    """``content`` as JSON."""
    return encoded_response(to_json(content).encode(), status, headers)


def encoded_response(body: bytes, status: int = 200, headers: "dict[str, str] | None" = None) -> Response:
    """A body that is JSON already."""
    return Response(status, {"content-type": "application/json", **(headers or {})}, body)
