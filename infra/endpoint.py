"""``ModelEndpoint``: a model behind an HTTPS endpoint, as one construct for any CDK app."""

from aws_cdk import aws_apigatewayv2 as apigatewayv2
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.config import EndpointConfig, InvalidConfig, check_config
from infra.constructs.alarms import EndpointAlarms
from infra.constructs.dashboard import EndpointDashboard
from infra.constructs.http_api import InferenceApi
from infra.constructs.inference_function import InferenceFunction
from infra.constructs.provisioned_concurrency import ProvisionedCapacity


class ModelEndpoint(Construct):
    """Serves one bundle from the registry's bucket: function, alias, HTTP API, alarms and dashboard.

    Example::

        endpoint = ModelEndpoint(
            self,
            "Ocr",
            bucket=s3.Bucket.from_bucket_name(self, "Models", "my-models"),
            config=EndpointConfig(model=Model(name="ocr", version=3, digest="9f…"), memory_mb=3008),
        )
        endpoint.grant_invoke(caller_role)

    Args:
        bucket: where ``coldpress push`` put the bundle, which is read below ``models/<name>/``; clients'
            large bodies are put and read below ``uploads/<name>/``, which a lifecycle rule should empty.
        config: what to serve and how; here the model's digest is required.

    Raises:
        InvalidConfig: a value cannot be deployed; the sentence names it.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, bucket: s3.IBucket, config: EndpointConfig
    ) -> None:
        super().__init__(scope, construct_id)
        where = f"ModelEndpoint {self.node.path}"
        check_config(config, where)
        if config.model.digest is None:
            raise InvalidConfig(
                f"{where}.model.digest is missing: take the one that `coldpress push` printed."
            )
        self._inference = InferenceFunction(self, "Inference", bucket=bucket, config=config)
        self._api = InferenceApi(
            self,
            "Http",
            alias=self.alias,
            authorization=config.authorization,
            throttling=config.throttling,
        )
        if config.provisioned_concurrency is not None:
            ProvisionedCapacity(self, "Provisioned", alias=self.alias, limits=config.provisioned_concurrency)
        self._alarms = EndpointAlarms(
            self, "Alarms", alias=self.alias, api=self.api, thresholds=config.alarms
        )
        self._dashboard = EndpointDashboard(
            self, "Overview", alias=self.alias, model=config.model, alarms=self.alarms
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
    def api(self) -> apigatewayv2.HttpApi:
        """The HTTP API; ``api.api_endpoint`` is its address."""
        return self._api.api

    @property
    def alarms(self) -> list[cloudwatch.Alarm]:
        """Errors, server errors, p99 latency and throttles."""
        return self._alarms.all

    @property
    def dashboard(self) -> cloudwatch.Dashboard:
        """The endpoint's dashboard, to add widgets to."""
        return self._dashboard.dashboard

    def grant_invoke(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow ``grantee`` to send signed requests to the endpoint's API."""
        return self._api.grant_invoke(grantee)
