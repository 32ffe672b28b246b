"""One stage's stack: its endpoints behind one API, the guard rails, and what a user needs to know of it."""

from typing import Any

from aws_cdk import CfnOutput, Fn, Stack, Tags
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.config import Budget, EndpointConfig, RegistryConfig, StageConfig
from infra.constructs.alarms import AlarmTopic
from infra.constructs.api import build_api
from infra.constructs.budget import STAGE_TAG, StageBudget
from infra.constructs.capture import CaptureBucket
from infra.constructs.cost_anomalies import CostAnomalies
from infra.constructs.dashboard import build_dashboard
from infra.constructs.image import pushed_image
from infra.constructs.logs import ServiceLogGroup
from infra.constructs.rest_api import RestInferenceApi
from infra.constructs.rollout import RolloutService
from infra.endpoint import ModelEndpoint
from infra.registry_stack import BUCKET_NAME_EXPORT, registry_key
from infra.stages import output_prefix


class EndpointStack(Stack):
    """``coldpress-<stage>``: a ``ModelEndpoint`` for each model, on the registry's bucket and one API."""

    def __init__(  # noqa: PLR0913 - keyword-only
        self,
        scope: Construct,
        construct_id: str,
        *,
        stage: str,
        config: StageConfig,
        models: list[EndpointConfig],
        registry: RegistryConfig,
        **kwargs: Any,
    ) -> None:
        names = ", ".join(model.model.name for model in models)
        super().__init__(
            scope,
            construct_id,
            description=f"coldpress: serves {names}"[:1024],
            termination_protection=config.termination_protection,
            **kwargs,
        )
        key = None if config.kms_key_arn is None else kms.Key.from_key_arn(self, "Key", config.kms_key_arn)
        self.api = build_api(self, "Api", config=config, key=key)
        self.endpoints = self._build_endpoints(config, models, registry, key)
        self._build_guard_rails(stage, config)
        self._build_outputs(config, models)

    def _build_endpoints(
        self,
        config: StageConfig,
        models: list[EndpointConfig],
        registry: RegistryConfig,
        key: kms.IKey | None,
    ) -> dict[str, ModelEndpoint]:
        bucket = s3.Bucket.from_bucket_attributes(
            self,
            "Models",
            bucket_name=Fn.import_value(BUCKET_NAME_EXPORT),
            encryption_key=registry_key(self, registry),
        )
        email = config.alarms.email
        topic = None if email is None else AlarmTopic(self, "Topic", email=email)
        # One for all: CloudWatch bills each dashboard above three.
        dashboard = build_dashboard(self, "Overview")
        rollouts = RolloutService(self, "Rollouts", retention_days=config.log_retention_days, key=key)
        image = None if config.image is None else pushed_image(self, config.image)
        is_captured = any(model.capture for model in models)
        captures = CaptureBucket(self, "Captures", key=key) if is_captured else None
        is_watched = any(model.monitor for model in models)
        monitor_logs = (
            ServiceLogGroup(self, "MonitorLogs", retention_days=config.log_retention_days, key=key)
            if is_watched
            else None
        )
        return {
            model.model.name: ModelEndpoint(
                self,
                model.model.name,
                bucket=bucket,
                config=model,
                api=self.api,
                image=image,
                key=key,
                topic=topic if model.alarms.email == email else None,
                rollouts=rollouts,
                dashboard=dashboard,
                captures=captures,
                monitor_logs=monitor_logs,
            )
            for model in models
        }

    def _build_guard_rails(self, stage: str, config: StageConfig) -> None:
        if config.permissions_boundary_arn is not None:
            boundary = iam.ManagedPolicy.from_managed_policy_arn(
                self, "Boundary", config.permissions_boundary_arn
            )
            iam.PermissionsBoundary.of(self).apply(boundary)
        if config.budget is not None and config.alarms.email is not None:
            self._build_budget(stage, config.budget, config.alarms.email)
        for name, value in {STAGE_TAG: stage, **config.tags}.items():
            Tags.of(self).add(name, value)

    def _build_budget(self, stage: str, budget: Budget, email: str) -> None:
        StageBudget(self, "Budget", stage=stage, monthly_usd=budget.monthly_usd, email=email)
        if budget.anomaly_usd is not None:
            CostAnomalies(self, "CostAnomalies", stage=stage, least_usd=budget.anomaly_usd, email=email)

    def _build_outputs(self, config: StageConfig, models: list[EndpointConfig]) -> None:
        self._output("EndpointUrl", self.api.url, "Where clients send requests")
        if self.api.domain_target is not None:
            self._output("DomainTarget", self.api.domain_target, "What the domain's DNS record points to")
        if isinstance(self.api, RestInferenceApi) and self.api.api_keys:
            ids = Fn.join(" ", [key.key_id for key in self.api.api_keys])
            self._output("ApiKeyIds", ids, "aws apigateway get-api-key --include-value --api-key ID")
        for index, model in enumerate(models):
            # The first model's are the stage's; each of several has them under its own name as well.
            for prefix in [""] * (index == 0) + [output_prefix(model.model.name)] * bool(config.models):
                self._output_model(prefix, model)

    def _output_model(self, prefix: str, model: EndpointConfig) -> None:
        endpoint = self.endpoints[model.model.name]
        self._output(f"{prefix}FunctionName", endpoint.function.function_name, "The function behind it")
        self._output(f"{prefix}AliasArn", endpoint.alias.function_arn, "What the endpoint invokes")
        self._output(f"{prefix}ModelDigest", model.model.digest or "", "The bundle that is deployed")
        if endpoint.batch is not None and model.batch is not None:
            self._output(f"{prefix}BatchArn", endpoint.batch.state_machine_arn, "What `coldpress batch` runs")
            self._output(f"{prefix}BatchBuckets", " ".join(model.batch.buckets), "What a batch may touch")
        if endpoint.captures is not None:
            self._output(
                f"{prefix}CaptureBucket", endpoint.captures.bucket_name, "Captured requests, and their labels"
            )

    def _output(self, name: str, value: str, description: str) -> None:
        CfnOutput(self, name, value=value, description=description)
