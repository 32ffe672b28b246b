"""API Gateway: a request to /_apis/<api id>/... is routed, checked, sent to Lambda and answered."""

import json
import logging
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote

from moto.apigatewayv2.models import Api, Route, apigatewayv2_backends

from emulator import settings, signature
from emulator.environments import CannotStart, Environments, Result, Throttled, describe
from emulator.events import (
    HttpRequest,
    HttpResponse,
    MalformedAnswer,
    Target,
    to_event,
    to_response,
)
from emulator.functions import FunctionNotFound, resolve
from emulator.images import InvalidImage
from emulator.permissions import api_may_invoke

_log = logging.getLogger(__name__)
_FUNCTION_IN_URI = re.compile(r"(?:.*/functions/)?(arn:aws[\w-]*:lambda:[^/]+)(?:/invocations)?")
_PLACEHOLDER = re.compile(r"\{(\w+)(\+?)\}")


@dataclass(frozen=True)
class _Match:
    """A route that a request fits; the smallest ``rank`` wins."""

    rank: tuple[int, ...]
    route: Route
    parameters: dict[str, str]


class Gateway:
    """The HTTP APIs of one emulator."""

    def __init__(self, environments: Environments) -> None:
        self._environments = environments
        # Lambda finishes a request even if API Gateway no longer waits for it.
        self._workers = ThreadPoolExecutor(max_workers=64, thread_name_prefix="invoke")

    def answer(self, request: HttpRequest) -> HttpResponse:
        """Answer a request whose path begins with the prefix."""
        try:
            return self._answer(request)
        except Exception:  # noqa: BLE001 - a bug, or a stack that makes no sense: the client gets what AWS gives
            _log.exception("%s %s", request.method, request.raw_path)
            return _message(500, "Internal Server Error")

    def _answer(self, request: HttpRequest) -> HttpResponse:
        api_id, _, path = request.raw_path.removeprefix(settings.API_PREFIX).partition("/")
        found = _find_api(api_id)
        if found is None:
            return _message(404, "Not Found")
        if len(request.body) > settings.MAX_BODY_BYTES:
            return _message(413, "Request Entity Too Large")
        region, api = found
        stage, path = _stage(api, f"/{path}")
        match = _match(api, request.method, path)
        if stage is None or match is None:
            return _message(404, "Not Found")
        access_key = None
        if match.route.authorization_type == "AWS_IAM":
            access_key = signature.caller(request, _url(request))
            if access_key is None:
                return _message(403, "Forbidden")
        target = Target(
            api_id=api_id,
            stage=stage.name,
            route_key=match.route.route_key,
            path_parameters=match.parameters,
            stage_variables=stage.stage_variables or {},
            access_key=access_key,
        )
        # With a named stage the event's path begins with it, as in AWS.
        seen = path if stage.name == "$default" else f"/{stage.name}{path}"
        event = to_event(replace(request, raw_path=seen), target)
        integration = api.integrations[match.route.target.removeprefix("integrations/")]
        arn = _function(integration.integration_uri)
        if not api_may_invoke(arn, _source_arn(region, api, stage.name, match.route)):
            _log.error("%s: no AWS::Lambda::Permission lets %s invoke it", arn, match.route.route_key)
            return _message(500, "Internal Server Error")
        timeout = min((integration.timeout_in_millis or 30_000) / 1000, settings.INTEGRATION_TIMEOUT_SECONDS)
        return self._invoke(arn, json.dumps(event).encode(), timeout)

    def close(self) -> None:
        """Stop waiting for anything."""
        self._workers.shutdown(wait=False, cancel_futures=True)

    def _invoke(self, arn: str, payload: bytes, timeout: float) -> HttpResponse:
        if len(payload) > settings.MAX_PAYLOAD_BYTES:
            return _message(413, "Request Entity Too Large")
        try:
            function = resolve(arn, None, settings.REGION)  # the ARN's own region counts
            future = self._workers.submit(self._environments.invoke, function, payload)
            result = future.result(timeout=timeout)
        except (Throttled, TimeoutError):
            return _message(503, "Service Unavailable")
        except (FunctionNotFound, CannotStart, InvalidImage) as error:
            _log.error("%s: %s", arn, error)
            return _message(500, "Internal Server Error")
        return _respond(arn, result)


def _respond(arn: str, result: Result) -> HttpResponse:
    if result.error:
        _log.error("%s: %s", arn, describe(result))
        return _message(500, "Internal Server Error")
    try:
        return to_response(result.payload)
    except MalformedAnswer as error:
        _log.error("%s: the handler's answer is malformed: %s", arn, error)
        return _message(500, "Internal Server Error")


def _message(status: int, message: str) -> HttpResponse:
    return HttpResponse(
        status, json.dumps({"message": message}).encode(), [("content-type", "application/json")]
    )


def _find_api(api_id: str) -> tuple[str, Api] | None:
    for region, backend in apigatewayv2_backends[settings.ACCOUNT].items():
        if api_id in backend.apis:
            return region, backend.apis[api_id]
    return None


def _stage(api: Api, path: str) -> tuple[Any, str]:
    """The stage that the path names, else the default one; and the path without it."""
    name, _, rest = path[1:].partition("/")
    if name in api.stages:
        return api.stages[name], f"/{rest}"
    return api.stages.get("$default"), path


def _match(api: Api, method: str, path: str) -> _Match | None:
    """The most specific route, or None.

    A path without a greedy placeholder comes before one with it (the longer the better), and both before
    $default; then the one with fewer placeholders, then a method before ANY.
    """
    matches = [match for route in api.routes.values() if (match := _try(route, method, path))]
    return min(matches, key=lambda match: match.rank, default=None)


def _try(route: Route, method: str, path: str) -> _Match | None:
    if route.route_key == "$default":
        return _Match((2,), route, {})
    route_method, _, pattern = route.route_key.partition(" ")
    if route_method not in ("ANY", method):
        return None
    expression = "".join(
        (r"(?P<%s>.+)" if greedy else r"(?P<%s>[^/]+)") % name if name else re.escape(text)
        for text, name, greedy in _pieces(pattern)
    )
    found = re.fullmatch(expression, path)
    if not found:
        return None
    greedy = "+}" in pattern
    segments = pattern.count("/") if greedy else 0
    rank = (int(greedy), -segments, pattern.count("{"), int(route_method == "ANY"))
    parameters = {name: unquote(value) for name, value in found.groupdict().items()}
    return _Match(rank, route, parameters)


def _pieces(pattern: str) -> list[tuple[str, str, str]]:
    """A route's path as (text, "", "") and ("", placeholder, "+" if greedy)."""
    pieces = []
    end = 0
    for placeholder in _PLACEHOLDER.finditer(pattern):
        pieces += [(pattern[end : placeholder.start()], "", ""), ("", placeholder[1], placeholder[2])]
        end = placeholder.end()
    return [*pieces, (pattern[end:], "", "")]


def _url(request: HttpRequest) -> str:
    query = f"?{request.query}" if request.query else ""
    return f"http://{request.headers.get('host', '')}{request.raw_path}{query}"


def _function(integration_uri: str) -> str:
    match = _FUNCTION_IN_URI.fullmatch(integration_uri)
    if not match:
        raise ValueError(f"{integration_uri} is no function's ARN")
    return match[1]


def _source_arn(region: str, api: Api, stage: str, route: Route) -> str:
    """What a permission's SourceArn must match: the API, the stage and the route."""
    method, _, path = route.route_key.partition(" ")
    resource = f"{'*' if method == 'ANY' else method}{path}" if path else route.route_key
    return f"arn:aws:execute-api:{region}:{settings.ACCOUNT}:{api.api_id}/{stage}/{resource}"
