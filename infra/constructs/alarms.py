"""What wakes somebody up: errors, slow answers, refused invocations; and idle capacity that is paid for."""

from aws_cdk import Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from infra.config import Alarms
from infra.constructs.nag import acknowledge

_MINUTE = Duration.minutes(1)
_IDLE_SHARE = 0.1
_AT_LEAST = cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD


class EndpointAlarms(Construct):
    """Alarms on what clients get, and on what is paid for nothing; the topic is told, if there is one.

    The dimensions are ``FunctionName`` and ``Resource`` (the function and the alias), whichever version the
    alias points to, so that the alarms stay right after a rollback that moves the alias by hand. Periods are
    60 s, because five minutes (CDK's default) is longer than an incident should go unseen; no data means no
    requests, which is no alarm.

    - errors: invocations that failed (crash, timeout, failed init).
    - server errors: the API's answers of 5xx, which also counts those that the handler gave in good order; of
      several endpoints behind one API only the first watches it.
    - p99 latency: of the handler, without the initialisation of a cold start; three minutes in a row, because
      in a minute of few requests the 99th percentile is just the slowest one.
    - throttles: invocations that Lambda refused because no environment was to be had.
    - idle: provisioned concurrency of which a tenth or less was in use at any moment of a whole day. It bills
      whether it is used or not, and stays after a load test. No data is an alarm here: nobody used it, or it
      could not be had.
    """

    def __init__(  # noqa: PLR0913 - what there is to watch
        self,
        scope: Construct,
        construct_id: str,
        *,
        alias: lambda_.Alias,
        thresholds: Alarms,
        server_errors: cloudwatch.Metric | None = None,
        is_provisioned: bool = False,
        topic: sns.ITopic | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        self._alias = alias
        self._topic = topic
        self.errors = self._build_alarm(
            "Errors",
            f"Failed invocations within a minute: {thresholds.errors} or more. See the function's log.",
            metric=alias.metric_errors(period=_MINUTE, statistic="Sum"),
            threshold=thresholds.errors,
        )
        self.server_errors = (
            None if server_errors is None else self._build_server_errors(server_errors, thresholds.errors)
        )
        self.p99_latency = self._build_alarm(
            "P99Latency",
            f"99th percentile for three minutes: {thresholds.p99_latency_ms} ms or more. See the dashboard.",
            metric=alias.metric_duration(period=_MINUTE, statistic="p99"),
            threshold=thresholds.p99_latency_ms,
            periods=3,
        )
        self.throttles = self._build_alarm(
            "Throttles",
            f"Refused invocations within a minute: {thresholds.throttles} or more. Raise the concurrency.",
            metric=alias.metric_throttles(period=_MINUTE, statistic="Sum"),
            threshold=thresholds.throttles,
        )
        self.idle = self._build_idle() if is_provisioned else None

    @property
    def all(self) -> list[cloudwatch.Alarm]:
        """Every alarm, for a dashboard."""
        every = (self.errors, self.server_errors, self.p99_latency, self.throttles, self.idle)
        return [alarm for alarm in every if alarm is not None]

    def _build_server_errors(self, metric: cloudwatch.Metric, threshold: int) -> cloudwatch.Alarm:
        return self._build_alarm(
            "ServerErrors",
            f"Answers of 5xx within a minute: {threshold} or more. See the API's access log.",
            metric=metric,
            threshold=threshold,
        )

    def _build_idle(self) -> cloudwatch.Alarm:
        return self._build_alarm(
            "Idle",
            "Provisioned concurrency stood idle for a day, and bills. Lower provisioned_concurrency.min, or "
            "take provisioned_concurrency out.",
            # Of the function, whichever version has it: a new version has no past, which would be an alarm.
            metric=self._alias.lambda_.metric(
                "ProvisionedConcurrencyUtilization", period=Duration.hours(1), statistic="Maximum"
            ),
            threshold=_IDLE_SHARE,
            periods=24,
            comparison=cloudwatch.ComparisonOperator.LESS_THAN_OR_EQUAL_TO_THRESHOLD,
            missing=cloudwatch.TreatMissingData.BREACHING,
        )

    def _build_alarm(  # noqa: PLR0913 - an alarm's own
        self,
        name: str,
        description: str,
        *,
        metric: cloudwatch.Metric,
        threshold: float,
        periods: int = 1,
        comparison: cloudwatch.ComparisonOperator = _AT_LEAST,
        missing: cloudwatch.TreatMissingData = cloudwatch.TreatMissingData.NOT_BREACHING,
    ) -> cloudwatch.Alarm:
        alarm = cloudwatch.Alarm(
            self,
            name,
            metric=metric,
            alarm_description=description,
            threshold=threshold,
            evaluation_periods=periods,
            comparison_operator=comparison,
            treat_missing_data=missing,
        )
        if self._topic is not None:
            alarm.add_alarm_action(actions.SnsAction(self._topic))
            alarm.add_ok_action(actions.SnsAction(self._topic))
        return alarm


class AlarmTopic(sns.Topic):
    """Tells one e-mail address, who must confirm it first."""

    def __init__(self, scope: Construct, construct_id: str, *, email: str) -> None:
        super().__init__(scope, construct_id, display_name="coldpress alarms", enforce_ssl=True)
        # A topic with a policy of its own loses the default one, by which the account's alarms may publish.
        self.grant_publish(
            iam.ServicePrincipal(
                "cloudwatch.amazonaws.com",
                conditions={"StringEquals": {"aws:SourceAccount": Stack.of(self).account}},
            )
        )
        subscription = self.add_subscription(subscriptions.EmailSubscription(email))
        acknowledge(
            subscription,
            "Serverless-SNSRedrivePolicy",
            "A queue for e-mails that were not delivered would be read by nobody; the alarm's state stays.",
        )
