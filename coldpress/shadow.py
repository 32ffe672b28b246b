"""A stage's shadow as AWS tells it now: which version it is, and how its answers compare with those given."""

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from coldpress import aws
from coldpress.deployed import Deployed

_NAMESPACE = "coldpress"  # the handlers' metrics
_DAY = timedelta(days=1)
_GONE = ("ResourceNotFoundException", "404")


class Shadow(NamedTuple):
    """The second version that a serving one sends a share of its requests to, and the last day's figures.

    ``digest`` and ``version`` are empty where its function is gone. ``agreement``: from 0 to 1, None where
    nothing was compared. ``unsent``: requests that could not be sent to it; ``dropped``: those that its queue
    dropped.
    """

    function: str
    version: str
    digest: str
    share: float
    requests: int
    errors: int
    agreement: float | None
    unsent: int
    dropped: int


def read_shadow(deployed: Deployed) -> Shadow | None:
    """The shadow of the version that serves, if it has one."""
    serving = deployed.serving
    live = _variables(deployed.function, str(serving.number))
    function = live.get("COLDPRESS_SHADOW_FUNCTION")
    if not function:
        return None
    share, own = float(live.get("COLDPRESS_SHADOW_SHARE", "0")), _variables(function)
    if not own:
        return Shadow(function, "", "", share, 0, 0, None, 0, 0)
    version = own.get("COLDPRESS_VERSION", "1")
    figures = _figures(
        {
            "requests": (_model(serving.model, version), "ShadowRequests", "Sum"),
            "errors": (_model(serving.model, version), "ShadowErrors", "Sum"),
            "agreed": (_model(serving.model, version), "ShadowAgreement", "Sum"),
            "compared": (_model(serving.model, version), "ShadowAgreement", "SampleCount"),
            "failures": (_model(serving.model, serving.model_version), "ShadowFailures", "Sum"),
            "large": (_model(serving.model, serving.model_version), "ShadowTooLarge", "Sum"),
            "dropped": (("AWS/Lambda", {"FunctionName": function}), "AsyncEventsDropped", "Sum"),
        }
    )
    return Shadow(
        function=function,
        version=version,
        digest=own.get("COLDPRESS_DIGEST", ""),
        share=share,
        requests=int(figures["requests"]),
        errors=int(figures["errors"]),
        agreement=figures["agreed"] / figures["compared"] if figures["compared"] else None,
        unsent=int(figures["failures"] + figures["large"]),
        dropped=int(figures["dropped"]),
    )


def _variables(function: str, version: str = "$LATEST") -> dict[str, str]:
    """A function's variables; none where it is gone."""
    try:
        found = aws.client("lambda").get_function(FunctionName=function, Qualifier=version)
    except ClientError as error:
        if aws.error_code(error) not in _GONE:
            raise
        return {}
    variables: dict[str, str] = found["Configuration"].get("Environment", {}).get("Variables", {})
    return variables


_Source = tuple[str, dict[str, str]]


def _model(name: str, version: str) -> _Source:
    return _NAMESPACE, {"Model": name, "Version": version}


def _figures(wanted: dict[str, tuple[_Source, str, str]]) -> dict[str, float]:
    """Metrics summed up over the last day, by the names they are asked under; 0 where there are no data."""
    queries: list[Any] = [
        {
            "Id": name,
            "MetricStat": {
                "Metric": {
                    "Namespace": namespace,
                    "MetricName": metric,
                    "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
                },
                "Period": 3600,
                "Stat": statistic,
            },
        }
        for name, ((namespace, dimensions), metric, statistic) in wanted.items()
    ]
    now = datetime.now(UTC)
    results = aws.client("cloudwatch").get_metric_data(
        MetricDataQueries=queries, StartTime=now - _DAY, EndTime=now + timedelta(minutes=1)
    )["MetricDataResults"]
    return {result["Id"]: float(sum(result["Values"])) for result in results}
