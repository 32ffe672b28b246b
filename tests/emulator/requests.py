"""Requests to a deployed API, signed or not."""

import json
import urllib.error
import urllib.request
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from emulator import settings


class Answer:
    """What came back."""

    def __init__(self, response: Any) -> None:
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def send(
    url: str,
    path: str,
    *,
    method: str | None = None,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> Answer:
    """Send a request; POST if it has a body."""
    request = urllib.request.Request(f"{url}{path}", data=body, headers=headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return Answer(response)
    except urllib.error.HTTPError as error:
        return Answer(error)


def signed(
    url: str,
    path: str,
    *,
    body: bytes = b"",
    key: str = settings.ACCESS_KEY_ID,
    secret: str = settings.SECRET_ACCESS_KEY,
    region: str = "us-east-1",
) -> dict[str, str]:
    """The headers of a signed POST."""
    request = AWSRequest("POST", f"{url}{path}", data=body, headers={"Content-Type": "application/json"})
    SigV4Auth(Credentials(key, secret), "execute-api", region).add_auth(request)
    return dict(request.headers.items())
