"""What both kinds of API make of a request before the function sees it."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from emulator.events import Event, HttpRequest, HttpResponse
from emulator.throttles import Allowance, Limit
from emulator.tokens import Issuer

_FUNCTION_IN_URI = re.compile(
    r"(?:.*/functions/)?(arn:aws[\w-]*:lambda:[^/]+)(?:/(?:response-streaming-)?invocations)?"
)


class Refused(Exception):
    """The API answers by itself."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True)
class Words:
    """What an API says when the function does not; the two kinds differ."""

    failed: tuple[int, str]
    late: tuple[int, str]
    throttled: tuple[int, str]
    too_large: tuple[int, str]
    unsigned: tuple[int, str]


@dataclass(frozen=True)
class Caller:
    """Who sends the request, as far as the API asked."""

    access_key: str | None = None
    claims: dict[str, Any] | None = None


@dataclass(frozen=True)
class Routed:
    """Where a request goes, and what it must pass."""

    function_arn: str
    source_arn: str  # what a permission of the function must name: API, stage, method and path
    authorization: str
    issuer: Issuer | None
    limits: tuple[Limit, ...]
    allowances: tuple[Allowance, ...]
    timeout_seconds: float
    event: Callable[[HttpRequest, Caller], Event]
    response: Callable[[bytes], HttpResponse]


def function_arn(integration_uri: str) -> str:
    """The function's ARN, with its qualifier, in an integration's URI (or the ARN itself)."""
    match = _FUNCTION_IN_URI.fullmatch(integration_uri)
    if not match:
        raise ValueError(f"{integration_uri} is no function's ARN")
    return match[1]
