"""GET an object from S3: retried while that can help, bounded in time, handed on piece by piece."""

import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Self
from urllib.parse import urlsplit

import msgspec

from handlers.inference.errors import InitError
from handlers.inference.fetch.sigv4 import Credentials, encode_path, sign_get

_PIECE = 1024**2
_TRANSIENT = frozenset({429, 500, 502, 503, 504})


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long to wait and how often to try again.

    A try may take ``start`` seconds plus one for every ``slowest`` bytes; no single read may take longer than
    ``read`` seconds. Between tries: up to ``backoff`` seconds, doubled each time ("full jitter").
    """

    tries: int = 5
    read: float = 5.0
    start: float = 5.0
    slowest: float = 2e6
    backoff: float = 0.1


class Bucket(msgspec.Struct, frozen=True, kw_only=True):
    """A bucket and the way to it."""

    name: str
    scheme: str
    host: str
    prefix: str
    credentials: Credentials
    patience: Patience = Patience()

    @classmethod
    def from_environment(
        cls, name: str, credentials: Credentials, environ: Mapping[str, str], patience: Patience | None = None
    ) -> Self:
        """Virtual-hosted style on AWS; path style elsewhere, and where a dot in the name breaks TLS."""
        endpoint = environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL")
        scheme, prefix = "https", f"/{name}"
        region = credentials.region
        aws = f"s3.{region}.amazonaws.com{'.cn' if region.startswith('cn-') else ''}"
        if endpoint:
            parts = urlsplit(endpoint)
            if parts.scheme not in ("http", "https") or not parts.netloc:
                raise InitError(
                    f"AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL is '{endpoint}', which is no http(s) URL."
                )
            scheme, host, prefix = parts.scheme, parts.netloc, f"{parts.path.rstrip('/')}/{name}"
        elif "." in name:
            host = aws
        else:
            host, prefix = f"{name}.{aws}", ""
        return cls(
            name=name,
            scheme=scheme,
            host=host,
            prefix=prefix,
            credentials=credentials,
            patience=patience or Patience(),
        )

    def get(self, key: str, consume: Callable[[Iterator[bytes]], None], limit: int) -> None:
        """GET ``key`` and give ``consume`` its bytes, in pieces, anew in every try.

        Raises:
            InitError: S3 refuses, has no such object, or fails in every try; it names cause and key.
        """
        where = f"s3://{self.name}/{key}"
        for attempt in range(self.patience.tries):
            if attempt:
                time.sleep(random.uniform(0, self.patience.backoff * 2**attempt))  # noqa: S311 - jitter
            try:
                self._try(key, where, consume, limit)
            except (_Transient, OSError, HTTPException) as error:
                cause = str(error) or type(error).__name__
            else:
                return
        raise InitError(
            f"{where} could not be read in {self.patience.tries} tries (the last: {cause}): check the "
            "function's way to S3, and try again."
        )

    def _try(self, key: str, where: str, consume: Callable[[Iterator[bytes]], None], limit: int) -> None:
        path = encode_path(f"{self.prefix}/{key}")
        connect = HTTPSConnection if self.scheme == "https" else HTTPConnection
        connection = connect(self.host, timeout=self.patience.read)
        try:
            deadline = time.monotonic() + self.patience.start + limit / self.patience.slowest
            connection.request("GET", path, headers=sign_get(self.host, path, self.credentials))
            response = connection.getresponse()
            if response.status != 200:
                raise _refusal(response, where)
            consume(_pieces(response, deadline))
        finally:
            connection.close()


class _Transient(Exception):
    """Worth another try."""


def _pieces(response: HTTPResponse, deadline: float) -> Iterator[bytes]:
    expected = response.getheader("content-length")
    received = 0
    # read1 returns what has come so far, so that a trickle cannot hold us beyond the deadline.
    while piece := response.read1(_PIECE):
        received += len(piece)
        if time.monotonic() > deadline:
            raise _Transient(f"too slow: {received} bytes until the deadline")
        yield piece
    if expected is not None and received != int(expected):
        raise _Transient(f"the connection ended after {received} of {expected} bytes")


def _refusal(response: HTTPResponse, where: str) -> Exception:
    body = response.read(4096).decode(errors="replace")
    found = re.search(r"<Code>(\w{1,64})</Code>", body)
    cause = f"{response.status} {found[1]}" if found else str(response.status)
    if response.status in _TRANSIENT:
        return _Transient(cause)
    if response.status == 404:
        advice = "push the bundle, or correct COLDPRESS_BUCKET, COLDPRESS_MODEL and COLDPRESS_DIGEST"
    elif response.status == 403:
        advice = "allow the function's role s3:GetObject on it (S3 also says so of a missing object)"
    elif response.status in (301, 307, 400):
        advice = "set the region and endpoint to the bucket's, and check the credentials"
    else:
        advice = "check the endpoint"
    return InitError(f"S3 does not give {where} ({cause}): {advice}.")
