"""What the handler measures itself."""

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch

from infra.config import Model

NAMESPACE = "coldpress"


def model_metric(model: Model, name: str, statistic: str) -> cloudwatch.Metric:
    """``Latency`` (ms), ``Requests``, ``Errors`` or ``ColdStarts`` of a model's version, by the minute."""
    return cloudwatch.Metric(
        namespace=NAMESPACE,
        metric_name=name,
        dimensions_map={"Model": model.name, "Version": str(model.version)},
        statistic=statistic,
        period=Duration.minutes(1),
        label=name if statistic == "Sum" else f"{name} {statistic}",
    )
