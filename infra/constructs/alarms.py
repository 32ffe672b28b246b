"""What wakes somebody up: errors, slow answers, refused invocations."""

from aws_cdk import Duration, Stack
from aws_cdk import aws_apigatewayv2 as apigatewayv2
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from infra.config import Alarms

_MINUTE = Duration.minutes(1)


class EndpointAlarms(Construct):
    """Four alarms on what clients get, and optionally an e-mail for each.

    The dimensions are ``FunctionName`` and ``Resource`` (the function and the alias), whichever version the
    alias points to, so that the alarms stay right after a rollback that moves the alias by hand. Periods are
    60 s, because five minutes (CDK's default) is longer than an incident should go unseen; no data means no
    requests, which is no alarm.

    - errors: invocations that failed (crash, timeout, failed init).
    - server errors: the API's answers of 5xx, which also counts those that the handler gave in good order.
    - p99 latency: of the handler, without the initialisation of a cold start; three minutes in a row, because
      in a minute of few requests the 99th percentile is just the slowest one.
    - throttles: invocations that Lambda refused because no environment was to be had.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        alias: lambda_.Alias,
        api: apigatewayv2.HttpApi,
        thresholds: Alarms,
    ) -> None:
        super().__init__(scope, construct_id)
        self.errors = self._build_alarm(
            "Errors",
            f"Failed invocations within a minute: {thresholds.errors} or more. See the function's log.",
            metric=alias.metric_errors(period=_MINUTE, statistic="Sum"),
            threshold=thresholds.errors,
        )
        self.server_errors = self._build_alarm(
            "ServerErrors",
            f"Answers of 5xx within a minute: {thresholds.errors} or more. See the API's access log.",
            metric=api.metric_server_error(period=_MINUTE, statistic="Sum"),
            threshold=thresholds.errors,
        )
        self.p99_latency = self._build_alarm(
            "P99Latency",
            f"99th percentile for three minutes: {thresholds.p99_latency_ms} ms or more. See the dashboard.",
            metric=alias.metric_duration(period=_MINUTE, statistic="p99"),
            threshold=thresholds.p99_latency_ms,
            minutes=3,
        )
        self.throttles = self._build_alarm(
            "Throttles",
            f"Refused invocations within a minute: {thresholds.throttles} or more. Raise the concurrency.",
            metric=alias.metric_throttles(period=_MINUTE, statistic="Sum"),
            threshold=thresholds.throttles,
        )
        if thresholds.email is not None:
            self._build_notification(thresholds.email)

    @property
    def all(self) -> list[cloudwatch.Alarm]:
        """Every alarm, for a dashboard or a deployment that rolls back on them."""
        return [self.errors, self.server_errors, self.p99_latency, self.throttles]

    def _build_alarm(
        self, name: str, description: str, *, metric: cloudwatch.Metric, threshold: int, minutes: int = 1
    ) -> cloudwatch.Alarm:
        return cloudwatch.Alarm(
            self,
            name,
            metric=metric,
            alarm_description=description,
            threshold=threshold,
            evaluation_periods=minutes,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )

    def _build_notification(self, email: str) -> None:
        topic = sns.Topic(self, "Topic", display_name="coldpress alarms", enforce_ssl=True)
        # A topic with a policy of its own loses the default one, by which the account's alarms may publish.
        topic.grant_publish(
            iam.ServicePrincipal(
                "cloudwatch.amazonaws.com",
                conditions={"StringEquals": {"aws:SourceAccount": Stack.of(self).account}},
            )
        )
        topic.add_subscription(subscriptions.EmailSubscription(email))
        for alarm in self.all:
            alarm.add_alarm_action(actions.SnsAction(topic))
            alarm.add_ok_action(actions.SnsAction(topic))
