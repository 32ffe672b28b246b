"""The transport-free core: a Request in, a Response out, whatever the request is."""

import sys
import zlib
from pathlib import Path
from typing import Self
from urllib.parse import unquote

import msgspec

from handlers.inference.dataplane import Model
from handlers.inference.errors import ContentTooLarge, RequestError, UnsupportedMediaType
from handlers.inference.loading import load
from handlers.inference.messages import Request, Response, json_response
from handlers.inference.routes import dispatch
from handlers.inference.settings import Settings

# Lambda carries 6 MB; ten times that, inflated, is a request that no function memory should be spent on.
MAX_INFLATED_BYTES = 64 * 1024**2
# TensorFlow Serving looks at no media type, and `curl -d` says it sends a form. So only what is certainly not
# JSON or tensors is refused.
_MEDIA_TYPES = frozenset(
    {"", "application/json", "application/octet-stream", "application/x-www-form-urlencoded", "text/plain"}
)


class Service:
    """One loaded model behind both protocols.

    ``answer`` may be called from several threads at once.
    """

    def __init__(self, model: Model) -> None:
        self.model = model

    @classmethod
    def from_folder(
        cls, folder: Path, *, name: str | None = None, version: str = "1", threads: int = 1
    ) -> Self:
        """Serve the bundle in ``folder``, verified; ``name`` and ``version`` are those of its URLs.

        Raises:
            InitError: the folder holds no bundle that this release serves; one sentence says why.
        """
        settings = Settings(
            model=name, version=version, digest=None, bucket=None, folder=folder, threads=threads
        )
        return cls(load(settings, {}))

    def answer(self, request: Request) -> Response:
        """The answer; an error is ``{"error": "one sentence"}``. Raises nothing."""
        try:
            return dispatch(self.model, _prepare(request))
        except RequestError as error:
            return error_response(error)
        except Exception as error:  # noqa: BLE001 - one failing request must not take the server down
            _log_failure(error)
            return json_response({"error": "The request failed inside the server; its log says where."}, 500)


def error_response(error: RequestError) -> Response:
    """A refused request's answer; what the client sent is quoted without its control characters."""
    sentence = "".join(letter if letter.isprintable() else "?" for letter in str(error))
    return json_response({"error": sentence}, error.status, error.headers)


def _prepare(request: Request) -> Request:
    """Decode the path's percent signs and the body's encoding; refuse media types that cannot be meant."""
    request = msgspec.structs.replace(request, path=unquote(request.path), method=request.method.upper())
    if request.method != "POST":
        return request
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in _MEDIA_TYPES and not media_type.endswith("+json"):
        raise UnsupportedMediaType(f"the body is declared as {media_type}: send application/json.")
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding in ("", "identity"):
        return request
    if encoding != "gzip":
        raise UnsupportedMediaType(f"the body is encoded with '{encoding}': send it plain, or with gzip.")
    return msgspec.structs.replace(request, body=_inflate(request.body))


def _inflate(body: bytes) -> bytes:
    inflater = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        inflated = inflater.decompress(body, MAX_INFLATED_BYTES)
    except zlib.error:
        raise RequestError("the body is declared as gzip, but is not.") from None
    if inflater.unconsumed_tail:
        raise ContentTooLarge(
            f"the body is larger than {MAX_INFLATED_BYTES} bytes when inflated: send fewer rows."
        )
    if not inflater.eof or inflater.unused_data:
        raise RequestError("the body is declared as gzip, but is cut or followed by something else.")
    return inflated


def _log_failure(error: Exception) -> None:
    """Where it failed, without the message, which may quote the client's data."""
    trace, place = error.__traceback__, "?"
    while trace is not None:
        place = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
        trace = trace.tb_next
    sys.stderr.write(f"coldpress: a request failed with {type(error).__name__} at {place}\n")
