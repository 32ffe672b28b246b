"""What AWS tells of a function: its variables, and metrics over the last day."""

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from coldpress import aws

_NAMESPACE = "coldpress"  # the handlers' metrics
_DAY = timedelta(days=1)
_GONE = ("ResourceNotFoundException", "404")


class Source(NamedTuple):
    """Whose metrics."""

    namespace: str
    dimensions: dict[str, str]


def of_model(name: str, version: str) -> Source:
    """What the handlers tell of a version of a model."""
    return Source(_NAMESPACE, {"Model": name, "Version": version})


def variables(function: str, version: str = "$LATEST") -> dict[str, str]:
    """A function's variables; none where it is gone."""
    try:
        found = aws.client("lambda").get_function(FunctionName=function, Qualifier=version)
    except ClientError as error:
        if aws.error_code(error) not in _GONE:
            raise
        return {}
    environment: dict[str, str] = found["Configuration"].get("Environment", {}).get("Variables", {})
    return environment


def figures_of_a_day(wanted: dict[str, tuple[Source, str, str]]) -> dict[str, float]:
    """Metrics summed up over the last day, by the names they are asked under; 0 where there are no data.

    ``wanted``: by name the source, the metric and its statistic: of ``Maximum`` it is the largest hour's.
    """
    queries: list[Any] = [
        {
            "Id": name,
            "MetricStat": {
                "Metric": {
                    "Namespace": source.namespace,
                    "MetricName": metric,
                    "Dimensions": [{"Name": key, "Value": value} for key, value in source.dimensions.items()],
                },
                "Period": 3600,
                "Stat": statistic,
            },
        }
        for name, (source, metric, statistic) in wanted.items()
    ]
    now = datetime.now(UTC)
    results = aws.client("cloudwatch").get_metric_data(
        MetricDataQueries=queries, StartTime=now - _DAY, EndTime=now + timedelta(minutes=1)
    )["MetricDataResults"]
    together = {name: max if statistic == "Maximum" else sum for name, (_, _, statistic) in wanted.items()}
    return {result["Id"]: float(together[result["Id"]]([0.0, *result["Values"]])) for result in results}
