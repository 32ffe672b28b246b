"""What stops a deployment: the new version's own errors and slowness, from its first requests on."""

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.config import EndpointConfig
from infra.constructs.metrics import NAMESPACE
from infra.constructs.monitor import RUNS


class VersionAlarms(Construct):
    """Alarms on what the version that is being deployed does behind the alias.

    The alias's own alarms see both versions together; at a canary of a tenth they would mix ten times as many
    good answers of the old version into what the new one does.

    - errors: invocations of the version that failed (crash, timeout, failed init).
    - server errors: answers of 5xx that the version's handler gave in good order.
    - p99 latency: of the version's invocations, three minutes in a row.
    - quality and agreement, where the monitor may roll back: what it says of the version's answers.

    An alarm's name holds the version's number, so each deployment has alarms of its own, which begin without
    a past. Kept under one name, the alarm that the old version raised would still stand when the fix is
    deployed, and CodeDeploy would stop the fix.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, alias: lambda_.Alias, config: EndpointConfig
    ) -> None:
        super().__init__(scope, construct_id)
        self._version = alias.version
        self._function_name = alias.lambda_.function_name
        dimensions = {
            "FunctionName": self._function_name,
            "Resource": f"{self._function_name}:{alias.alias_name}",
            "ExecutedVersion": self._version.version,
        }
        model = {"Model": config.model.name, "Version": str(config.model.version)}
        self.all = [
            self._build_alarm(
                "Errors",
                _metric("AWS/Lambda", "Errors", "Sum", dimensions),
                threshold=config.alarms.errors,
            ),
            self._build_alarm(
                "ServerErrors",
                _metric(NAMESPACE, "Errors", "Sum", model),
                threshold=config.alarms.errors,
            ),
            self._build_alarm(
                "P99Latency",
                _metric("AWS/Lambda", "Duration", "p99", dimensions),
                threshold=config.alarms.p99_latency_ms,
                minutes=3,
            ),
        ]
        if config.monitor is not None and config.monitor.roll_back:
            # Of CodeDeploy's ten alarms a group these are the fourth and the fifth.
            self.all += [
                self._build_alarm(
                    name,
                    _metric(NAMESPACE, metric, "Maximum", model, minutes=RUNS * config.monitor.every_minutes),
                    threshold=1,
                )
                for name, metric in (("Quality", "QualityAlarm"), ("Agreement", "AgreementAlarm"))
            ]

    def _build_alarm(
        self,
        name: str,
        metric: cloudwatch.Metric,
        *,
        threshold: int,
        minutes: int = 1,
    ) -> cloudwatch.Alarm:
        return cloudwatch.Alarm(
            self,
            name,
            alarm_name=f"{self._function_name}-version-{self._version.version}-{name}",
            alarm_description=f"Ends the deployment of this version: {threshold} or more within a minute.",
            metric=metric,
            threshold=threshold,
            evaluation_periods=minutes,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )


def _metric(
    namespace: str, name: str, statistic: str, dimensions: dict[str, str], minutes: int = 1
) -> cloudwatch.Metric:
    return cloudwatch.Metric(
        namespace=namespace,
        metric_name=name,
        dimensions_map=dimensions,
        statistic=statistic,
        period=Duration.minutes(minutes),
    )
