"""Is it still right: a scheduled function that looks at captured requests, and the alarms on what it says."""

from aws_cdk import Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from constructs import Construct

from infra.config import EndpointConfig, Monitor
from infra.constructs.capture import capture_variables
from infra.constructs.companion_function import build_companion_function
from infra.constructs.image import Image
from infra.constructs.inference_function import model_environment
from infra.constructs.logs import ServiceLogGroup
from infra.constructs.metrics import NAMESPACE
from infra.constructs.nag import acknowledge, acknowledge_resource
from infra.constructs.service_role import ServiceRole

# Of the schedule's five minutes one is left for the run before; what is not done then is done in the next
# one.
_TIMEOUT = Duration.minutes(4)
_READ = ("captures", "labels", "monitor")
# An alarm stands so many runs longer than it is told: one of them may be late, or fail.
RUNS = 3


class ModelMonitor(Construct):
    """A function (handlers/monitor) that a schedule invokes: it reads captures and labels, and keeps a state.

    It may read the bundles of its model, list and read below its model's prefixes of the captures' bucket,
    and write below ``monitor/model=NAME/`` there: the state, ``status.json`` and ``status.html`` of each
    version. What is not written any more goes with the captures, for it may hold some.

    Attributes:
        function: the function.
        logs: where it writes a line a run (handlers/monitor/metrics.py).
    """

    def __init__(  # noqa: PLR0913 - keyword-only
        self,
        scope: Construct,
        construct_id: str,
        *,
        bucket: s3.IBucket,
        captures: s3.Bucket,
        config: EndpointConfig,
        monitor: Monitor,
        image: Image,
        log_group: ServiceLogGroup,
        key: kms.IKey | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        capture = config.capture
        assert capture is not None  # noqa: S101 - infra/stages.py has seen to it
        self._model, self._captures = config.model.name, captures
        self.logs = log_group
        role = self._build_role(bucket, key)
        log_group.let_write(role)
        self.function = build_companion_function(
            self,
            handler="handlers.monitor.app.handler",
            description=f"coldpress: whether the model {self._model} is still right",
            image=image,
            architecture=config.architecture,
            memory_mb=monitor.memory_mb,
            timeout=_TIMEOUT,
            role=role,
            log_group=log_group,
            key=key,
            environment={
                **_environment(config, bucket),
                "COLDPRESS_CAPTURES": captures.bucket_name,
                **capture_variables(capture),
                "COLDPRESS_AGREEMENT_SHARE": str(monitor.agreement_share),
                "COLDPRESS_MAX_DROP": str(monitor.quality.max_drop),
            },
            why_no_dead_letters="A run that fails is made good by the next one, which begins where it began.",
            why_no_tracing="Nobody waits for it, and it asks S3 alone.",
        )
        rule = events.Rule(
            self,
            "Schedule",
            schedule=events.Schedule.rate(Duration.minutes(monitor.every_minutes)),
            targets=[targets.LambdaFunction(self.function, retry_attempts=0)],
        )
        acknowledge(rule, "Serverless-EventBusDLQ", "A run that is not started is made good by the next one.")
        captures.add_lifecycle_rule(
            prefix=f"monitor/model={self._model}/", expiration=Duration.days(capture.retention_days)
        )

    def _build_role(self, bucket: s3.IBucket, key: kms.IKey | None) -> ServiceRole:
        role = ServiceRole(
            self,
            "Role",
            service="lambda",
            description=f"coldpress: reads bundles, captures and labels of {self._model}, writes its state",
        )
        bundles = bucket.arn_for_objects(f"models/{self._model}/*")
        read = [self._captures.arn_for_objects(f"{name}/model={self._model}/*") for name in _READ]
        role.allow("s3:GetObject", on=[bundles, *read])
        role.allow("s3:PutObject", on=[read[-1]])
        # What is not there is told apart from what may not be read by who may list.
        role.allow(
            "s3:ListBucket",
            on=[self._captures.bucket_arn],
            where={"StringLike": {"s3:prefix": [f"{name}/model={self._model}/*" for name in _READ]}},
        )
        for encrypted in (key, bucket.encryption_key):
            if encrypted is not None:
                role.allow("kms:Decrypt", on=[encrypted.key_arn])
        if self._captures.encryption_key is not None:
            role.allow("kms:Decrypt", "kms:GenerateDataKey", on=[self._captures.encryption_key.key_arn])
        for objects in (bundles, *read):
            acknowledge_resource(role, objects, "The objects of one model, whose keys others make up.")
        return role


class MonitorAlarms(Construct):
    """Alarms on what the monitor says; their names begin with the stack's and the model's.

    A metric costs money in every hour in which it gets a value. So what is watched has one only while
    something is wrong, then from every run; without one in the last three runs all is well. Silence is told
    by a run that fails, which Lambda counts for nothing, of every run: between two of them nothing changes.

    - drift: requests or answers are not what they were when the model was pressed.
    - quality: less of the labelled requests is right than was verified.
    - agreement: less of the answers agree with the original model's.
    - silent: no requests come where many should, or a run failed, so that nothing is known.
    """

    def __init__(  # noqa: PLR0913 - keyword-only
        self,
        scope: Construct,
        construct_id: str,
        *,
        config: EndpointConfig,
        monitor: Monitor,
        function: lambda_.IFunction,
        topic: sns.ITopic | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        self._config, self._topic = config, topic
        see = f"See `coldpress watch {Stack.of(self).stack_name}`."
        told = {
            "Drift": ("DriftAlarm", f"Requests or answers have changed. {see}"),
            "Quality": ("QualityAlarm", f"Less is right than was verified. {see}"),
            "Agreement": ("AgreementAlarm", f"Less agrees with the original model. {see}"),
        }
        model = {"Model": config.model.name, "Version": str(config.model.version)}
        self.all = [
            self._build(
                name,
                # Without a label, for which CDK would make a metric of metrics.
                cloudwatch.Metric(
                    namespace=NAMESPACE,
                    metric_name=metric,
                    dimensions_map=model,
                    statistic="Maximum",
                    period=Duration.minutes(RUNS * monitor.every_minutes),
                ),
                description,
                cloudwatch.TreatMissingData.NOT_BREACHING,
            )
            for name, (metric, description) in told.items()
        ]
        failures = function.metric_errors(period=Duration.minutes(1), statistic="Maximum")
        failed = f"No requests come, or the monitor fails. {see}"
        self.all.append(self._build("Silent", failures, failed, cloudwatch.TreatMissingData.IGNORE))

    def _build(
        self,
        name: str,
        metric: cloudwatch.Metric,
        description: str,
        missing: cloudwatch.TreatMissingData,
    ) -> cloudwatch.Alarm:
        alarm = cloudwatch.Alarm(
            self,
            name,
            alarm_name=f"{Stack.of(self).stack_name}-{self._config.model.name}-{name.lower()}",
            alarm_description=description,
            metric=metric,
            threshold=1,
            evaluation_periods=1,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            treat_missing_data=missing,
        )
        if self._topic is not None:
            alarm.add_alarm_action(actions.SnsAction(self._topic))
            alarm.add_ok_action(actions.SnsAction(self._topic))
        return alarm


def _environment(config: EndpointConfig, bucket: s3.IBucket) -> dict[str, str]:
    """What the endpoint's functions know, without the user's own code, which the monitor does not run."""
    known = model_environment(config, bucket)
    return {name: value for name, value in known.items() if name != "COLDPRESS_TRANSFORM"}
