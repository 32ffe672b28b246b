"""AWS Signature Version 4: a GET without a body, a POST, and a PUT that somebody else sends.

The algorithm: https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
"""

import time
from _hashlib import hmac_digest, openssl_sha256

TYPE_CHECKING = False  # typing itself costs a cold start 3 ms
if TYPE_CHECKING:
    from collections.abc import Mapping

    from handlers.inference.fetch.credentials import Credentials

_EMPTY_SHA256 = openssl_sha256(b"").hexdigest()
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_UNRESERVED_OR_SLASH = _UNRESERVED | frozenset(b"/")


def encode_path(path: str) -> str:
    """Percent-encode a path as S3 signs it: once, all but unreserved characters and ``/``."""
    return _encode(path, _UNRESERVED_OR_SLASH)


def sign_get(host: str, path: str, credentials: "Credentials", now: float | None = None) -> dict[str, str]:
    """Headers that authorise ``GET https://{host}{path}``; ``path`` is encoded already and has no query.

    Headers that are added (a range, a condition) need not be signed. ``now``: seconds since 1970.
    """
    headers = {"host": host, "x-amz-content-sha256": _EMPTY_SHA256}
    return _signed(["GET", path], headers, _EMPTY_SHA256, "s3", credentials, now)


def sign_post(  # noqa: PLR0913, PLR0917 - what is signed
    host: str,
    path: str,
    headers: "Mapping[str, str]",
    body: bytes,
    service: str,
    credentials: "Credentials",
    now: float | None = None,
) -> dict[str, str]:
    """Headers that authorise ``POST https://{host}{path}`` of ``body`` to a service that is not S3.

    ``headers`` are sent and signed with the rest. ``path`` holds nothing that would have to be encoded, and
    has no query.
    """
    digest = openssl_sha256(body).hexdigest()
    return _signed(["POST", path], {"host": host, **headers}, digest, service, credentials, now)


def presign_put(  # noqa: PLR0913, PLR0917 - what is signed
    host: str, path: str, size: int, seconds: int, credentials: "Credentials", now: float | None = None
) -> str:
    """The query that authorises whoever has it to ``PUT https://{host}{path}``, for ``seconds`` from now.

    https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html

    The body has exactly ``size`` bytes: its length is signed, and S3 refuses any other. ``path`` is encoded
    already.
    """
    moment = _moment(now)
    scope = _scope(moment, credentials, "s3")
    names, lines = _canonical({"content-length": str(size), "host": host})
    fields = {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{credentials.access_key}/{scope}",
        "X-Amz-Date": moment,
        "X-Amz-Expires": str(seconds),
        "X-Amz-SignedHeaders": names,
    }
    if credentials.session_token:
        fields["X-Amz-Security-Token"] = credentials.session_token
    query = "&".join(f"{name}={_encode(fields[name], _UNRESERVED)}" for name in sorted(fields))
    canonical = ["PUT", path, query, *lines, "", names, "UNSIGNED-PAYLOAD"]
    signature = _signature(canonical, moment, scope, credentials)
    return f"{query}&X-Amz-Signature={signature}"


def _signed(  # noqa: PLR0913, PLR0917 - what is signed
    request: list[str],
    headers: dict[str, str],
    body_sha256: str,
    service: str,
    credentials: "Credentials",
    now: float | None,
) -> dict[str, str]:
    """Headers, time and token, with the signature over them and ``request``, a method and a path."""
    moment = _moment(now)
    headers["x-amz-date"] = moment
    if credentials.session_token:
        headers["x-amz-security-token"] = credentials.session_token
    names, lines = _canonical(headers)
    scope = _scope(moment, credentials, service)
    signature = _signature([*request, "", *lines, "", names, body_sha256], moment, scope, credentials)
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}, "
        f"SignedHeaders={names}, Signature={signature}"
    )
    return headers


def _moment(now: float | None) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))


def _scope(moment: str, credentials: "Credentials", service: str) -> str:
    return f"{moment[:8]}/{credentials.region}/{service}/aws4_request"


def _canonical(headers: "Mapping[str, str]") -> tuple[str, list[str]]:
    """The signed headers' names as one text, and a line for each."""
    names = sorted(headers)
    return ";".join(names), [f"{name}:{' '.join(headers[name].split())}" for name in names]


def _signature(canonical: list[str], moment: str, scope: str, credentials: "Credentials") -> str:
    digest = openssl_sha256("\n".join(canonical).encode()).hexdigest()
    to_sign = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{digest}"
    key = f"AWS4{credentials.secret_key}".encode()
    for part in scope.split("/"):
        key = hmac_digest(key, part.encode(), "sha256")
    return hmac_digest(key, to_sign.encode(), "sha256").hex()


def _encode(text: str, plain: frozenset[int]) -> str:
    return "".join(chr(byte) if byte in plain else f"%{byte:02X}" for byte in text.encode())
