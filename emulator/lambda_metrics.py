"""What Lambda and API Gateway tell CloudWatch of every request, under the dimensions that they use."""

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


def provisioned(function: FunctionVersion, *, spilled_over: bool, busy: int, kept: int) -> None:
    """An invocation began of a version of which ``kept`` environments are initialised ahead.

    As on AWS, nothing is told while nobody asks: target tracking does not scale in without requests.
    """
    name = "SpilloverInvocations" if spilled_over else "Invocations"
    _record(function, f"ProvisionedConcurrency{name}", 1)
    _record(function, "ProvisionedConcurrentExecutions", busy)
    _record(function, "ProvisionedConcurrencyUtilization", busy / kept)


def answered(api_id: str, *, status: int, latency_ms: float) -> None:
    """An API answered a request; HTTP and REST APIs have names of their own for the same."""
    for region, http_apis in apigatewayv2_backends[settings.ACCOUNT].items():
        if api_id in http_apis.apis:
            _record_answer(region, {"ApiId": api_id}, ("4xx", "5xx"), status, latency_ms)
    for region, rest_apis in apigateway_backends[settings.ACCOUNT].items():
        if api_id in rest_apis.apis:
            dimensions = {"ApiName": str(rest_apis.apis[api_id].name)}
            _record_answer(region, dimensions, ("4XXError", "5XXError"), status, latency_ms)


def _record_answer(
    region: str, dimensions: Dimensions, names: tuple[str, str], status: int, latency_ms: float
) -> None:
    values = (1.0, float(400 <= status < 500), float(status >= 500), latency_ms)
    for name, value in zip(("Count", *names, "Latency"), values, strict=True):
        record(region, "AWS/ApiGateway", name, value, dimensions)


def _record(function: FunctionVersion, name: str, value: float) -> None:
    sets: list[Dimensions] = [{"FunctionName": function.name}]
    if function.asked_for:
        resource = {"FunctionName": function.name, "Resource": f"{function.name}:{function.asked_for}"}
        sets.append(resource)
        if function.asked_for != function.version:  # an alias
            sets.append({**resource, "ExecutedVersion": function.version})
    record(function.region, _LAMBDA, name, value, *sets)
