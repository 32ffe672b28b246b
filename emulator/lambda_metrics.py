"""What Lambda and API Gateway tell CloudWatch of every request, under the dimensions that they use."""

from collections.abc import Container

from moto.apigateway.models import apigateway_backends
from moto.apigatewayv2.models import apigatewayv2_backends

from emulator import settings
from emulator.functions import FunctionVersion
from emulator.metrics import Dimensions, record

_LAMBDA = "AWS/Lambda"


def started(function: FunctionVersion, *, running: int) -> None:
    """An invocation begins; ``running`` of the function's now run at once."""
    _record(function, "ConcurrentExecutions", running)


def ended(function: FunctionVersion, *, duration_ms: float, failed: bool) -> None:
    """An invocation has ended, by an answer or by an error."""
    _record(function, "Invocations", 1)
    _record(function, "Errors", int(failed))
    _record(function, "Duration", duration_ms)


def throttled(function: FunctionVersion) -> None:
    """An invocation was refused."""
    _record(function, "Throttles", 1)


def queued(function: FunctionVersion) -> None:
    """An asynchronous invocation is in the queue."""
    _record(function, "AsyncEventsReceived", 1)


def dropped(function: FunctionVersion) -> None:
    """An asynchronous invocation grew too old, or failed too often."""
    _record(function, "AsyncEventsDropped", 1)


def provisioned(function: FunctionVersion, *, spilled_over: bool, busy: int, kept: int) -> None:
    """An invocation began of a version of which ``kept`` environments are initialised ahead.

    It counts for the version or the alias that they were asked for: what a scalable target of either follows.

    As on AWS, nothing is told while nobody asks: target tracking does not scale in without requests.
    """
    name = "SpilloverInvocations" if spilled_over else "Invocations"
    _record(function, f"ProvisionedConcurrency{name}", 1)
    _record(function, "ProvisionedConcurrentExecutions", busy)
    _record(function, "ProvisionedConcurrencyUtilization", busy / kept)


def answered(api_id: str, path: str, *, status: int, latency_ms: float) -> None:
    """An API answered a request to ``path``; HTTP and REST APIs have names of their own for the same."""
    for region, http_apis in apigatewayv2_backends[settings.ACCOUNT].items():
        if api_id in http_apis.apis:
            sets = _of_stage({"ApiId": api_id}, http_apis.apis[api_id].stages, path)
            _record_answer(region, sets, ("4xx", "5xx"), status, latency_ms)
    for region, rest_apis in apigateway_backends[settings.ACCOUNT].items():
        if api_id in rest_apis.apis:
            api = rest_apis.apis[api_id]
            sets = _of_stage({"ApiName": str(api.name)}, api.stages, path)
            _record_answer(region, sets, ("4XXError", "5XXError"), status, latency_ms)


def _of_stage(api: Dimensions, stages: Container[str], path: str) -> list[Dimensions]:
    """The API's own dimensions, and those of the stage that the path names or that takes any path."""
    named = path.partition("/")[0]
    stage = next((name for name in (named, "$default") if name in stages), None)
    return [api, {**api, "Stage": stage}] if stage else [api]


def _record_answer(
    region: str, sets: list[Dimensions], names: tuple[str, str], status: int, latency_ms: float
) -> None:
    values = (1.0, float(400 <= status < 500), float(status >= 500), latency_ms)
    for name, value in zip(("Count", *names, "Latency"), values, strict=True):
        record(region, "AWS/ApiGateway", name, value, *sets)


def _record(function: FunctionVersion, name: str, value: float) -> None:
    sets: list[Dimensions] = [{"FunctionName": function.name}]
    if function.asked_for:
        resource = {"FunctionName": function.name, "Resource": f"{function.name}:{function.asked_for}"}
        sets.append(resource)
        if function.asked_for != function.version:  # an alias
            sets.append({**resource, "ExecutedVersion": function.version})
    record(function.region, _LAMBDA, name, value, *sets)
