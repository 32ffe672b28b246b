"""AWS Signature Version 4 for a GET without a body.

The algorithm: https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
"""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import quote

import msgspec

from handlers.inference.errors import InitError

_EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()


class Credentials(msgspec.Struct, frozen=True):
    """What Lambda puts into the environment of every function."""

    access_key: str
    secret_key: str
    session_token: str | None
    region: str

    def __repr__(self) -> str:
        return f"Credentials(region={self.region!r})"


def credentials_from(environ: Mapping[str, str]) -> Credentials:
    """The function's credentials.

    Raises:
        InitError: a variable is missing; the sentence names it.
    """
    region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
    access_key, secret_key = environ.get("AWS_ACCESS_KEY_ID"), environ.get("AWS_SECRET_ACCESS_KEY")
    if not access_key or not secret_key:
        raise InitError(
            "the environment has no AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to read the bundle with: "
            "give the function a role, or set them."
        )
    if not region:
        raise InitError("the environment has no AWS_REGION: set it to the region of the registry's bucket.")
    return Credentials(access_key, secret_key, environ.get("AWS_SESSION_TOKEN") or None, region)


def encode_path(path: str) -> str:
    """Percent-encode a path as S3 signs it: once, all but unreserved characters and ``/``."""
    return quote(path, safe="/-._~")


def sign_get(host: str, path: str, credentials: Credentials, now: datetime | None = None) -> dict[str, str]:
    """Headers that authorise ``GET https://{host}{path}``; ``path`` is encoded already and has no query."""
    time = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    headers = {"host": host, "x-amz-content-sha256": _EMPTY_SHA256, "x-amz-date": time}
    if credentials.session_token:
        headers["x-amz-security-token"] = credentials.session_token
    names = ";".join(sorted(headers))
    lines = [f"{name}:{' '.join(headers[name].split())}" for name in sorted(headers)]
    canonical = "\n".join(["GET", path, "", *lines, "", names, _EMPTY_SHA256])
    scope = f"{time[:8]}/{credentials.region}/s3/aws4_request"
    to_sign = f"AWS4-HMAC-SHA256\n{time}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{credentials.secret_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}, "
        f"SignedHeaders={names}, Signature={signature}"
    )
    return headers
