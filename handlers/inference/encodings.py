"""Compressed bodies, both ways: gzip, and deflate as HTTP means it (zlib's format)."""

from handlers.inference.errors import ContentTooLarge, RequestError, UnsupportedMediaType
from handlers.inference.messages import Response

# Lambda carries 6 MB; ten times that, inflated, is a request that no function memory should be spent on.
MAX_INFLATED_BYTES = 64 * 1024**2
# An answer of numbers shrinks to half; a millisecond buys 40 KB less. Smaller ones are not worth the wait.
_WORTH_IT_BYTES = 64 * 1024
# zlib's name for each format.
_WINDOWS = {"gzip": 31, "deflate": 15}


def inflate(body: bytes, encoding: str | None) -> bytes:
    """A request's body as its Content-Encoding says.

    Raises:
        RequestError: it is not encoded so.
        UnsupportedMediaType: the encoding is another one.
        ContentTooLarge: there is more in it than ``MAX_INFLATED_BYTES``.
    """
    encoding = (encoding or "identity").strip().lower()
    if encoding in ("", "identity"):
        return body
    if encoding not in _WINDOWS:
        raise UnsupportedMediaType(f"the body is encoded with '{encoding}': send it plain, or with gzip.")
    import zlib  # noqa: PLC0415 - most requests are not compressed

    inflater = zlib.decompressobj(_WINDOWS[encoding])
    try:
        inflated = inflater.decompress(body, MAX_INFLATED_BYTES)
    except zlib.error:
        raise RequestError(f"the body is declared as {encoding}, but is not.") from None
    if inflater.unconsumed_tail:
        raise ContentTooLarge(
            f"the body is larger than {MAX_INFLATED_BYTES} bytes when inflated: send fewer rows."
        )
    if not inflater.eof or inflater.unused_data:
        raise RequestError(f"the body is declared as {encoding}, but is cut or followed by something else.")
    return inflated


def compress(response: Response, accepted: str | None) -> Response:
    """The response in an encoding of the request's Accept-Encoding, where that pays."""
    if not accepted or len(response.body) < _WORTH_IT_BYTES or "content-encoding" in response.headers:
        return response
    encoding = next((name for name in _WINDOWS if _is_accepted(name, accepted)), None)
    if encoding is None:
        return response
    import zlib  # noqa: PLC0415 - as above

    deflater = zlib.compressobj(1, wbits=_WINDOWS[encoding])
    body = deflater.compress(response.body) + deflater.flush()
    headers = {**response.headers, "content-encoding": encoding, "vary": "accept-encoding"}
    return Response(response.status, headers, body, response.inference_id)


def _is_accepted(encoding: str, accepted: str) -> bool:
    for choice in accepted.lower().split(","):
        name, _, weight = choice.partition(";")
        if name.strip() == encoding:
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
