"""Lambda's GetAccountSettings, which moto lacks: how many environments may run at a time."""

import json
from typing import Any

from moto.awslambda import urls
from moto.awslambda.models import lambda_backends

from emulator import settings

_PATH = "{0}/2016-08-19/account-settings/?$"


def _answer(_request: Any, _url: str, headers: Any) -> tuple[int, dict[str, str], str]:
    """What a new account has, less what its functions reserved."""
    scope = str(headers.get("Authorization", "")).partition("Credential=")[2].split("/")
    region = scope[2] if len(scope) > 2 else settings.REGION
    functions = lambda_backends[settings.ACCOUNT][region].list_functions()
    reserved = sum(int(function.reserved_concurrency or 0) for function in functions)
    limit = {
        "ConcurrentExecutions": settings.ACCOUNT_CONCURRENCY,
        "UnreservedConcurrentExecutions": settings.ACCOUNT_CONCURRENCY - reserved,
    }
    return 200, {"content-type": "application/json"}, json.dumps({"AccountLimit": limit})


def install() -> None:
    """Add the call to moto's Lambda."""
    urls.url_paths[_PATH] = _answer
