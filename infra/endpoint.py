"""``ModelEndpoint``: a model behind an HTTPS endpoint, as one construct for any CDK app."""

from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_apigatewayv2 as apigatewayv2
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from infra.config import EndpointConfig, InvalidConfig
from infra.constructs.alarms import AlarmTopic, EndpointAlarms
from infra.constructs.api import InferenceApi, build_api
from infra.constructs.batch import ModelBatch
from infra.constructs.capture import CaptureBucket, ModelCapture
from infra.constructs.dashboard import EndpointDashboard
from infra.constructs.existing_api import ExistingHttpApi
from infra.constructs.http_api import HttpInferenceApi
from infra.constructs.image import BuiltImage, Image
from infra.constructs.inference_function import InferenceFunction
from infra.constructs.logs import ServiceLogGroup
from infra.constructs.metrics import model_metric
from infra.constructs.model_check import ModelCheck
from infra.constructs.monitor import ModelMonitor, MonitorAlarms
from infra.constructs.provisioned_concurrency import ProvisionedCapacity
from infra.constructs.released_versions import ReleasedVersions
from infra.constructs.rest_api import RestInferenceApi
from infra.constructs.rollout import RolloutService, VersionRollout
from infra.constructs.shadow import ModelShadow
from infra.constructs.version_alarms import VersionAlarms
from infra.stages import check_config


class ModelEndpoint(Construct):
    """Serves one bundle from the registry's bucket: function, alias, API, alarms and dashboard.

    Example::

        endpoint = ModelEndpoint(
            self,
            "Ocr",
            bucket=s3.Bucket.from_bucket_name(self, "Models", "my-models"),
            config=EndpointConfig(model=Model(name="ocr", version=3, digest="9f…"), memory_mb=3008),
        )
        endpoint.grant_invoke(caller_role)

    Several models share one API (and one image)::

        api = build_api(self, "Api", config=ApiConfig(authorization="iam"))
        for config in (ocr, layout):
            ModelEndpoint(self, config.model.name, bucket=bucket, api=api, config=config)

    Args:
        bucket: where ``coldpress push`` put the bundle, which is read below ``models/<name>/``; clients'
            large bodies are put and read below ``uploads/<name>/``, which a lifecycle rule should empty.
            The function and its check may use the bucket's ``encryption_key``, if it has one.
        config: what to serve and how; here the model's digest is required.
        api: the API that it shares with other models (``build_api``), or an HTTP API of yours, which gets the
            routes of this model. That API's own configuration counts then. Without it, one of its own.
        image: an image that was built from this repository elsewhere, and pushed:
            ``PushedImage(repository, "sha256:…")``. All functions run in it. Without it, it is built here.
        key: a KMS key that encrypts variables and logs. Its policy must let CloudWatch Logs use it.
        topic: who is told of alarms, in place of the configuration's e-mail address. Its policy must let
            CloudWatch publish.
        rollouts: what it shares with other models to bring new versions out. Without it, of its own.
        dashboard: the page that it shares with other models. Without it, one of its own.
        captures: the bucket that it shares with other models, if the configuration has ``capture``. Without
            it, one of its own.
        monitor_logs: where its monitor writes, if the configuration has ``monitor``. Without it, its own.

    Raises:
        InvalidConfig: a value cannot be deployed; the sentence names it.
    """

    def __init__(  # noqa: PLR0913 - what may be the user's own
        self,
        scope: Construct,
        construct_id: str,
        *,
        bucket: s3.IBucket,
        config: EndpointConfig,
        api: InferenceApi | apigatewayv2.IHttpApi | None = None,
        image: Image | None = None,
        key: kms.IKey | None = None,
        topic: sns.ITopic | None = None,
        rollouts: RolloutService | None = None,
        dashboard: cloudwatch.Dashboard | None = None,
        captures: CaptureBucket | None = None,
        monitor_logs: ServiceLogGroup | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        where = f"ModelEndpoint {self.node.path}"
        check_config(config, where)
        if config.model.digest is None:
            raise InvalidConfig(
                f"{where}.model.digest is missing: take the one that `coldpress push` printed."
            )
        self._model = config.model
        self._image = image or BuiltImage(config.architecture)
        self._is_api_shared = api is not None
        shadow = self._build_shadow(bucket, config, key)
        self._capture = self._build_capture(captures, config, key)
        followers = [follower for follower in (shadow, self._capture) if follower is not None]
        self._inference = InferenceFunction(
            self,
            "Inference",
            bucket=bucket,
            config=config,
            image=self._image,
            key=key,
            variables={name: value for one in followers for name, value in one.variables.items()},
        )
        for follower in followers:
            follower.allow(self._inference.role)
        self._api = self._build_api(api, config, key)
        if isinstance(self._api, RestInferenceApi):
            for name, value in self._api.variables.items():
                self.function.add_environment(name, value)
        is_first = self._api.add_model(config, self.alias)
        if rollouts is None:
            rollouts = RolloutService(self, "Rollouts", retention_days=config.log_retention_days, key=key)
        self._build_rollout(rollouts, bucket, config)
        self._batch = self._build_batch(config, key)
        monitor = self._build_monitor(bucket, config, monitor_logs, key)
        if topic is None and config.alarms.email is not None:
            topic = AlarmTopic(self, "Topic", email=config.alarms.email)
        self._alarms = EndpointAlarms(
            self,
            "Alarms",
            alias=self.alias,
            thresholds=config.alarms,
            server_errors=self._api.metric_server_error() if is_first else None,
            is_provisioned=config.provisioned_concurrency is not None,
            topic=topic,
        )
        self._monitor_alarms = self._build_monitor_alarms(monitor, config, topic)
        self._dashboard = EndpointDashboard(
            self,
            "Overview",
            alias=self.alias,
            model=config.model,
            alarms=self.alarms,
            shadow=None if shadow is None else shadow.function,
            monitor_logs=None if monitor is None else monitor.logs,
            memory_mb=config.memory_mb,
            dashboard=dashboard,
        )

    @property
    def function(self) -> lambda_.DockerImageFunction:
        """The function; invoke its alias, not the function itself, which is ``$LATEST``."""
        return self._inference.function

    @property
    def alias(self) -> lambda_.Alias:
        """What serves: it points to the version of the deployed digest."""
        return self._inference.alias

    @property
    def api(self) -> apigatewayv2.IHttpApi | apigateway.SpecRestApi:
        """The API, an HTTP API unless the configuration says ``rest``; ``url`` is its address."""
        return self._api.api

    @property
    def url(self) -> str:
        """Where clients send requests."""
        return self._api.url

    @property
    def alarms(self) -> list[cloudwatch.Alarm]:
        """Errors, server errors, p99 latency, throttles; of idle capacity, and the monitor's."""
        return [*self._alarms.all, *self._monitor_alarms]

    @property
    def dashboard(self) -> cloudwatch.Dashboard:
        """The page that the endpoint is on, to add widgets to."""
        return self._dashboard.dashboard

    @property
    def batch(self) -> sfn.StateMachine | None:
        """What `coldpress batch` runs; None where the configuration has no ``batch``."""
        return None if self._batch is None else self._batch.state_machine

    @property
    def captures(self) -> s3.Bucket | None:
        """Where captured requests and labels are; None where the configuration has no ``capture``."""
        return None if self._capture is None else self._capture.bucket

    def grant_invoke(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow ``grantee`` to send signed requests: to this model only, where it shares an API."""
        return self._api.grant_invoke(grantee, self._model.name if self._is_api_shared else None)

    def metric_latency(self, statistic: str = "p99") -> cloudwatch.Metric:
        """Milliseconds that the handler took to answer."""
        return model_metric(self._model, "Latency", statistic)

    def metric_requests(self) -> cloudwatch.Metric:
        """Requests within a minute."""
        return model_metric(self._model, "Requests", "Sum")

    def metric_errors(self) -> cloudwatch.Metric:
        """Answers of 5xx within a minute."""
        return model_metric(self._model, "Errors", "Sum")

    def metric_cold_starts(self) -> cloudwatch.Metric:
        """Environments that were initialised for a request within a minute."""
        return model_metric(self._model, "ColdStarts", "Sum")

    def _build_rollout(self, service: RolloutService, bucket: s3.IBucket, config: EndpointConfig) -> None:
        check = ModelCheck(
            self,
            "Check",
            checker=service.checker,
            endpoint=self.function,
            bucket=bucket,
            config=config,
            image=self._image,
        )
        if config.provisioned_concurrency is not None:
            ProvisionedCapacity(
                self,
                "Provisioned",
                function=self.function,
                alias=self.alias,
                check=check,
                limits=config.provisioned_concurrency,
            )
        alarms = VersionAlarms(self, "VersionAlarms", alias=self.alias, config=config)
        VersionRollout(
            self,
            "Rollout",
            service=service,
            alias=self.alias,
            check=check,
            alarms=alarms.all,
            rollout=config.rollout,
        )
        ReleasedVersions(self, "Versions", alias=self.alias, check=check, model=config.model)

    def _build_shadow(
        self, bucket: s3.IBucket, config: EndpointConfig, key: kms.IKey | None
    ) -> ModelShadow | None:
        if config.model.shadow is None:
            return None
        return ModelShadow(
            self,
            "Shadow",
            bucket=bucket,
            config=config,
            shadow=config.model.shadow,
            image=self._image,
            key=key,
        )

    def _build_capture(
        self, captures: CaptureBucket | None, config: EndpointConfig, key: kms.IKey | None
    ) -> ModelCapture | None:
        if config.capture is None:
            return None
        return ModelCapture(
            self,
            "Capture",
            model=config.model.name,
            capture=config.capture,
            captures=captures or CaptureBucket(self, "Captures", key=key),
        )

    def _build_monitor(
        self,
        bucket: s3.IBucket,
        config: EndpointConfig,
        log_group: ServiceLogGroup | None,
        key: kms.IKey | None,
    ) -> ModelMonitor | None:
        if config.monitor is None or self._capture is None:
            return None
        monitor = ModelMonitor(
            self,
            "Monitor",
            bucket=bucket,
            captures=self._capture.bucket,
            config=config,
            monitor=config.monitor,
            image=self._image,
            log_group=log_group
            or ServiceLogGroup(self, "MonitorLogs", retention_days=config.log_retention_days, key=key),
            key=key,
        )
        # It looks at the new version from its first requests on, which a canary may hang on.
        self.alias.node.add_dependency(monitor)
        return monitor

    def _build_monitor_alarms(
        self, monitor: ModelMonitor | None, config: EndpointConfig, topic: sns.ITopic | None
    ) -> list[cloudwatch.Alarm]:
        if monitor is None or config.monitor is None:
            return []
        return MonitorAlarms(
            self,
            "MonitorAlarms",
            config=config,
            monitor=config.monitor,
            function=monitor.function,
            topic=topic,
        ).all

    def _build_batch(self, config: EndpointConfig, key: kms.IKey | None) -> ModelBatch | None:
        if config.batch is None:
            return None
        return ModelBatch(
            self,
            "Batch",
            endpoint=self.function,
            config=config,
            batch=config.batch,
            image=self._image,
            key=key,
        )

    def _build_api(
        self, api: InferenceApi | apigatewayv2.IHttpApi | None, config: EndpointConfig, key: kms.IKey | None
    ) -> InferenceApi | ExistingHttpApi:
        if api is None:
            return build_api(self, "Http", config=config, key=key)
        if isinstance(api, HttpInferenceApi | RestInferenceApi):
            return api
        return ExistingHttpApi(self, "Http", config=config, http_api=api)
