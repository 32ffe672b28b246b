"""What all sources share: a body is text, or base64 of bytes; header names are in lower case."""

from __future__ import annotations

import pybase64

from handlers.inference.documents import Body
from handlers.inference.errors import RequestError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

SIX_MEGABYTES = 6 * 1024**2
# Of an answer that Lambda streams.
MAX_STREAM_BYTES = 200 * 1024**2


def read_body(event: Mapping[str, Any]) -> bytes:
    """The body's bytes.

    Raises:
        RequestError: it is said to be base64, but is not.
    """
    body = event.get("body") or ""
    content = body.read() if type(body) is Body else str(body).encode(errors="surrogatepass")
    if not event.get("isBase64Encoded"):
        return content
    try:
        return pybase64.b64decode(content, validate=True)
    except ValueError:
        raise RequestError("the event's body is said to be base64, but is not.") from None


def lower_headers(headers: Mapping[str, Any] | None) -> dict[str, str]:
    """Header names in lower case."""
    return {name.lower(): str(value) for name, value in (headers or {}).items()}


def join_headers(headers: Mapping[str, list[Any]] | None) -> dict[str, str]:
    """Multi-value headers as one value each."""
    return {name.lower(): ", ".join(map(str, values)) for name, values in (headers or {}).items()}
