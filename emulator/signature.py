"""Whether a request carries a valid AWS Signature Version 4 of the emulator's own credentials."""

import re
from datetime import UTC, datetime, timedelta
from hmac import compare_digest

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials

from emulator import settings
from emulator.events import HttpRequest

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256\s+Credential=(?P<key>[^/,\s]+)/(?P<date>\d{8})/(?P<region>[\w-]+)/(?P<service>[\w-]+)/aws4_request,"
    r"\s*SignedHeaders=(?P<headers>[\w;-]+),\s*Signature=(?P<signature>[0-9a-f]{64})"
)
_TIME_FORMAT = "%Y%m%dT%H%M%SZ"
_TOLERANCE = timedelta(minutes=5)


class _Verifier(SigV4Auth):
    """botocore's signer, signing the headers that the caller signed."""

    def headers_to_sign(self, request: AWSRequest) -> HTTPHeaders:
        """All of the request's headers: it was given the signed ones only."""
        headers = HTTPHeaders()
        for name, value in request.headers.items():
            headers[name.lower()] = value
        return headers


def caller(request: HttpRequest, url: str) -> str | None:
    """The access key id that signed ``request``, or None if nobody did as he should.

    ``url`` is the address that the client asked for, path and query as sent.
    """
    match = _AUTHORIZATION.fullmatch(request.headers.get("authorization", "").strip())
    if not match or match["service"] != "execute-api" or match["key"] != settings.ACCESS_KEY_ID:
        return None
    signed = match["headers"].split(";")
    timestamp = request.headers.get("x-amz-date", "")
    if "host" not in signed or not _is_recent(timestamp) or timestamp[:8] != match["date"]:
        return None
    headers = {name: request.headers.get(name, "") for name in signed}
    aws_request = AWSRequest(method=request.method, url=url, data=request.body, headers=headers)
    aws_request.context["timestamp"] = timestamp
    verifier = _Verifier(
        Credentials(settings.ACCESS_KEY_ID, settings.SECRET_ACCESS_KEY), match["service"], match["region"]
    )
    # The hash of the body that arrived, not the one that the caller claims.
    headers_claim = aws_request.headers.get("x-amz-content-sha256")
    if headers_claim is not None and headers_claim != verifier.payload(aws_request):
        return None
    canonical = verifier.canonical_request(aws_request)
    expected = verifier.signature(verifier.string_to_sign(aws_request, canonical), aws_request)
    return match["key"] if compare_digest(expected, match["signature"]) else None


def _is_recent(timestamp: str) -> bool:
    try:
        sent = datetime.strptime(timestamp, _TIME_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        return False
    return abs(datetime.now(UTC) - sent) <= _TOLERANCE
