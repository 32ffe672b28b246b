"""Where deployed REST APIs answer: AWS's addresses in a stack's outputs, as the emulator's."""

import re

from moto.apigateway.models import apigateway_backends
from moto.cloudformation.models import Stack

from emulator import settings

_REST_API = re.compile(r"https://([a-z0-9]+)\.execute-api\.([a-z0-9-]+)\.amazonaws\.com")


def localise(stack: Stack) -> None:
    """Put the emulator's own address into outputs that name a REST API of this account.

    A template writes that address itself, from the API's id and the region; an HTTP API's is an attribute.
    """
    for output in stack.output_map.values():
        if output is not None and isinstance(output.value, str):
            output.value = _REST_API.sub(_address, output.value)


def _address(match: re.Match[str]) -> str:
    api_id, region = match[1], match[2]
    if api_id not in apigateway_backends[settings.ACCOUNT][region].apis:
        return match[0]
    return f"{settings.endpoint()}{settings.API_PREFIX}{api_id}"
