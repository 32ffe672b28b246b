"""One page that says how the endpoint is."""

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.config import Model
from infra.constructs.metrics import NAMESPACE, model_metric
from monitoring.cost import USD_PER_GB_SECOND, USD_PER_REQUEST

_MINUTE, _FIVE = Duration.minutes(1), Duration.minutes(5)
_HALF, _THIRD = 12, 8  # of a dashboard's 24 columns


class EndpointDashboard(Construct):
    """Latency, requests, errors, cold starts and concurrency, with the alarms' states on top.

    What the handler measures itself arrives as embedded metrics (namespace ``coldpress``, dimensions
    ``Model`` and ``Version``); the rest is Lambda's, of the alias. Where there is a ``shadow``, one more row
    says how it does, and where a monitor writes ``monitor_logs``, two more what it says, run by run: its
    figures are read from its log, whose lines cost next to nothing, while each metric costs 0.30 USD a month.
    On a ``dashboard`` that it shares with other models, its name stands above.
    """

    def __init__(  # noqa: PLR0913 - keyword-only
        self,
        scope: Construct,
        construct_id: str,
        *,
        alias: lambda_.Alias,
        model: Model,
        alarms: list[cloudwatch.Alarm],
        memory_mb: int,
        shadow: lambda_.IFunction | None = None,
        monitor_logs: logs.ILogGroup | None = None,
        dashboard: cloudwatch.Dashboard | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        self._alias = alias
        self._model = model
        self.dashboard = dashboard or build_dashboard(self, "Dashboard")
        if dashboard is not None:
            title = cloudwatch.TextWidget(markdown=f"# {model.name}", width=24, height=1)
            self.dashboard.add_widgets(title)
        self.dashboard.add_widgets(cloudwatch.AlarmStatusWidget(alarms=alarms, width=24, title="Alarms"))
        self.dashboard.add_widgets(self._build_latency(), self._build_requests())
        self.dashboard.add_widgets(self._build_errors(), self._build_cold_starts())
        self.dashboard.add_widgets(self._build_function_time(), self._build_concurrency())
        if shadow is not None and model.shadow is not None:
            other = Model(name=model.name, version=model.shadow.version)
            self.dashboard.add_widgets(
                self._build_agreement(other), self._build_shadow_requests(other, shadow)
            )
        if monitor_logs is not None:
            self.dashboard.add_widgets(
                self._build_evidence(monitor_logs),
                self._build_shares(monitor_logs),
                self._build_cost(memory_mb),
            )
            self.dashboard.add_widgets(self._build_versions(), self._build_runs(monitor_logs))

    def _build_latency(self) -> cloudwatch.GraphWidget:
        return _graph(
            "Latency of the model's answers (ms)",
            [model_metric(self._model, "Latency", statistic) for statistic in ("p50", "p90", "p99")],
        )

    def _build_requests(self) -> cloudwatch.GraphWidget:
        return _graph(
            "Requests",
            [
                model_metric(self._model, "Requests", "Sum"),
                self._alias.metric_invocations(period=_MINUTE, label="Invocations"),
            ],
        )

    def _build_errors(self) -> cloudwatch.GraphWidget:
        return _graph(
            "Errors",
            [
                model_metric(self._model, "Errors", "Sum"),
                self._alias.metric_errors(period=_MINUTE, label="Failed invocations"),
                self._alias.metric_throttles(period=_MINUTE, label="Throttled invocations"),
            ],
        )

    def _build_cold_starts(self) -> cloudwatch.GraphWidget:
        return _graph(
            "Cold starts",
            [
                model_metric(self._model, "ColdStarts", "Sum"),
                # Of the function: what is provisioned is told of the version that has it, not of the alias.
                self._alias.lambda_.metric(
                    "ProvisionedConcurrencySpilloverInvocations",
                    period=_MINUTE,
                    statistic="Sum",
                    label="Beyond provisioned concurrency",
                ),
            ],
        )

    def _build_function_time(self) -> cloudwatch.GraphWidget:
        return _graph(
            "Duration of invocations (ms)",
            [
                self._alias.metric_duration(
                    period=_MINUTE, statistic=statistic, label=f"Duration {statistic}"
                )
                for statistic in ("p50", "p99", "Maximum")
            ],
        )

    def _build_concurrency(self) -> cloudwatch.GraphWidget:
        return _graph(
            "Concurrency",
            [
                self._alias.metric(
                    "ConcurrentExecutions", period=_MINUTE, statistic="Maximum", label="Running at once"
                ),
                self._alias.lambda_.metric(
                    "ProvisionedConcurrentExecutions",
                    period=_MINUTE,
                    statistic="Maximum",
                    label="Of these, provisioned",
                ),
            ],
        )

    def _build_agreement(self, shadow: Model) -> cloudwatch.GraphWidget:
        return _graph(
            f"Agreement with the shadow, version {shadow.version}",
            [
                model_metric(shadow, "ShadowAgreement", "Average"),
                model_metric(shadow, "ShadowDifference", "p99"),
            ],
        )

    def _build_shadow_requests(self, other: Model, shadow: lambda_.IFunction) -> cloudwatch.GraphWidget:
        return _graph(
            "Requests that the shadow answered, failed, or never got",
            [
                model_metric(other, "ShadowRequests", "Sum"),
                model_metric(other, "ShadowErrors", "Sum"),
                model_metric(self._model, "ShadowFailures", "Sum"),
                model_metric(self._model, "ShadowTooLarge", "Sum"),
                shadow.metric(
                    "AsyncEventsDropped", period=_MINUTE, statistic="Sum", label="Dropped from its queue"
                ),
            ],
        )

    def _build_evidence(self, monitor_logs: logs.ILogGroup) -> cloudwatch.LogQueryWidget:
        return self._query(
            f"Evidence of drift of version {self._model.version} (1 is an alarm)",
            monitor_logs,
            [
                self._is_of_this_version(),
                "stats max(DriftEvidence) as evidence, max(DriftEvidence * 0 + 1) as alarm by bin(30m)",
            ],
            cloudwatch.LogQueryVisualizationType.LINE,
            _THIRD,
        )

    def _build_shares(self, monitor_logs: logs.ILogGroup) -> cloudwatch.LogQueryWidget:
        return self._query(
            f"Right, and in agreement with the original: version {self._model.version}",
            monitor_logs,
            [
                self._is_of_this_version(),
                "stats avg(Accuracy) as right, avg(Agreement) as agreeing by bin(30m)",
            ],
            cloudwatch.LogQueryVisualizationType.LINE,
            _THIRD,
        )

    def _build_versions(self) -> cloudwatch.GraphWidget:
        """A line a version, so that one ends where the next begins."""
        found = f'{{{NAMESPACE},Model,Version}} Model="{self._model.name}" MetricName="Requests"'
        by_version = cloudwatch.MathExpression(
            expression=f"SEARCH('{found}', 'Sum', 300)", using_metrics={}, period=_FIVE, label="Requests"
        )
        return cloudwatch.GraphWidget(
            title="Requests, by version",
            left=[by_version],
            width=_HALF,
            left_y_axis=cloudwatch.YAxisProps(min=0),
        )

    def _build_runs(self, monitor_logs: logs.ILogGroup) -> cloudwatch.LogQueryWidget:
        """What the monitor read of each version, and what it could not do."""
        return self._query(
            "What the monitor read, by version",
            monitor_logs,
            [
                f"filter Model = '{self._model.name}'",
                "stats min(@timestamp) as since, max(@timestamp) as until, latest(DriftEvidence) as drift, "
                "sum(Captures) as captures, sum(CapturesUnreadable) as unreadable, sum(Labels) as labels, "
                "sum(Replayed) as replayed, latest(Problem) as problem by Version",
                "sort until desc",
            ],
            cloudwatch.LogQueryVisualizationType.TABLE,
            _HALF,
        )

    def _is_of_this_version(self) -> str:
        return f"filter Model = '{self._model.name}' and Version = '{self._model.version}'"

    def _query(
        self,
        title: str,
        monitor_logs: logs.ILogGroup,
        lines: list[str],
        view: cloudwatch.LogQueryVisualizationType,
        width: int,
    ) -> cloudwatch.LogQueryWidget:
        return cloudwatch.LogQueryWidget(
            title=title,
            log_group_names=[monitor_logs.log_group_name],
            query_lines=lines,
            view=view,
            width=width,
        )

    def _build_cost(self, memory_mb: int) -> cloudwatch.GraphWidget:
        """Of Lambda on demand: each invocation, and what it takes of memory and time."""
        # A thousand requests of a millisecond take a second. An exponent would be taken for a name.
        a_millisecond = memory_mb / 1024 * USD_PER_GB_SECOND
        price = cloudwatch.MathExpression(
            expression=f"{1000 * USD_PER_REQUEST:.6f} + {a_millisecond:.10f} * duration / calls",
            using_metrics={
                "duration": self._alias.metric_duration(period=_MINUTE, statistic="Sum"),
                "calls": self._alias.metric_invocations(period=_MINUTE, statistic="Sum"),
            },
            period=_MINUTE,
            label="USD",
        )
        return cloudwatch.GraphWidget(
            title="Lambda's cost of 1,000 requests on demand (USD)",
            left=[price],
            width=_THIRD,
            left_y_axis=cloudwatch.YAxisProps(min=0),
        )


def build_dashboard(scope: Construct, construct_id: str) -> cloudwatch.Dashboard:
    """An empty page."""
    return cloudwatch.Dashboard(scope, construct_id, default_interval=Duration.hours(3))


def _graph(title: str, metrics: list[cloudwatch.Metric]) -> cloudwatch.GraphWidget:
    return cloudwatch.GraphWidget(
        title=title, left=[*metrics], width=_HALF, left_y_axis=cloudwatch.YAxisProps(min=0)
    )
