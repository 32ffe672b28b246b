"""Bodies that Lambda's 6 MB do not hold: the client puts them into S3, and a request's header names them.

    POST /v2/models/NAME/uploads      {"size": 20971520}  ->  {"key": …, "url": …}
    PUT url                           the body
    POST …/infer, …:predict, …        no body, but the header ``coldpress-upload: KEY``

A header, because everything else about the body stays as it is: its media type, its encoding, where its JSON
ends, whatever the protocol.

A key says the length that was signed, so it need not be asked for. Nothing but such keys is ever read.
"""

import os

from bundle.json_text import loads
from handlers.inference import log
from handlers.inference.errors import (
    Conflict,
    ContentTooLarge,
    Forbidden,
    InitError,
    NotFound,
    RequestError,
    Unavailable,
)
from handlers.inference.fetch.credentials import credentials_from
from handlers.inference.fetch.download import fetch
from handlers.inference.fetch.s3 import Bucket, Changed, Refused
from handlers.inference.messages import json_response
from handlers.inference.routes import UPLOAD_HEADER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from handlers.inference.dataplane import Model
    from handlers.inference.messages import Request, Response

# How long a URL is good for.
SECONDS = 900
# The body, its copy as text and the tensors are in memory at the same time.
_PART_OF_MEMORY = 8
_MEGABYTE = 1024**2
_DEFAULT_MEGABYTES = 1769
_TOKEN_LETTERS = frozenset("0123456789abcdef")
_TOKEN_BYTES = 16


class Uploads:
    """Where clients put bodies for one model.

    Args:
        bucket: the bucket; this function may put and get below ``uploads/<model>/``.
        model: the name in the keys.
        environ: the environment's variables: credentials, endpoint, memory.
    """

    def __init__(self, bucket: str, model: str, environ: "Mapping[str, str]") -> None:
        self._name = bucket
        self._prefix = f"uploads/{model}/"
        self._environ = environ
        memory = environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "")
        megabytes = int(memory) if memory.isdecimal() else _DEFAULT_MEGABYTES
        self._limit = megabytes * _MEGABYTE // _PART_OF_MEMORY

    def create(self, _model: "Model", request: "Request") -> "Response":
        """``POST /v2/models/{model}/uploads``: a URL to which a body of ``size`` bytes may be put.

        Raises:
            RequestError: the size is missing, or no size.
            ContentTooLarge: it is more than this function's memory is good for.
        """
        size = _size_in(request.body)
        self._check(size)
        key = f"{self._prefix}{size}-{os.urandom(_TOKEN_BYTES).hex()}"
        url = self._bucket().presigned_put(key, size, SECONDS)
        return json_response({"key": key, "url": url, "method": "PUT", "size": size, "expires_in": SECONDS})

    def read(self, key: str) -> bytes:
        """The body that was put under ``key``.

        Raises:
            Forbidden: the key is not one of this model's uploads.
            NotFound: nothing was put there, or it is gone.
            Conflict: it is not of the size that was announced, or another one took its place meanwhile.
            ContentTooLarge: it is more than this function's memory is good for.
            Unavailable: S3 cannot be read.
        """
        size = self._size_of(key)
        self._check(size)
        try:
            bucket = self._bucket()
            content = fetch(bucket, key, size, len)
            bucket.close()
        except Changed:
            raise Conflict(
                "the upload is not what was announced, or was replaced: upload it again."
            ) from None
        except InitError as error:
            # Without leave to list a bucket, S3 says 403 of what is not there.
            if isinstance(error, Refused) and error.code in ("", "NoSuchKey", "AccessDenied"):
                raise NotFound(
                    "there is no such upload: put the body to its URL first; a day later it is deleted."
                ) from None
            log.say(f"an upload could not be read: {error}")
            raise Unavailable("the upload cannot be read now: try again.") from None
        return bytes(content)

    def _bucket(self) -> Bucket:
        """Made anew, because credentials may not last as long as the process."""
        return Bucket.from_environment(self._name, credentials_from(self._environ), self._environ)

    def _size_of(self, key: str) -> int:
        """The size in a key that ``create`` can have given."""
        size, _, token = key.removeprefix(self._prefix).partition("-")
        is_ours = (
            key.startswith(self._prefix)
            and (size.isascii() and size.isdecimal() and 0 < len(size) < 15 and size[0] != "0")
            and (len(token) == 2 * _TOKEN_BYTES and _TOKEN_LETTERS.issuperset(token))
        )
        if not is_ours:
            raise Forbidden(
                f"the header {UPLOAD_HEADER} holds no key of this model's uploads: send the one that came "
                "with the URL."
            )
        return int(size)

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise ContentTooLarge(
                f"{size} bytes are more than the {self._limit} that this endpoint takes as an upload: send "
                "fewer rows at once, send binary tensors, or give the endpoint more memory."
            )


def _size_in(body: bytes) -> int:
    try:
        content = loads(body)
    except ValueError:
        content = None
    size = content.get("size") if isinstance(content, dict) else None
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise RequestError('say how many bytes the upload will have: {"size": 20971520}.')
    return size
