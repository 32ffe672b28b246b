"""The REST API in front of one model's alias, or of several models': for API keys, quotas and WAF."""

from typing import Any

from aws_cdk import Duration, RemovalPolicy, Stack
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_wafv2 as wafv2
from constructs import Construct

from infra.config import ApiConfig, Domain, EndpointConfig, Quota, Throttling
from infra.constructs.access_log import AccessLogGroup, log_format
from infra.constructs.nag import acknowledge
from infra.constructs.openapi import SIGNED, Document, integration, later
from infra.constructs.released_versions import released
from infra.constructs.rest_cors import VARIABLE, gateway_responses, origin, preflight
from infra.constructs.routes import MODELLESS, endpoint_routes, model_paths, version_routes

STAGE = "live"
_LOG_POLICY = "arn:<AWS::Partition>:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs"
_SECURITY: dict[str, tuple[str, dict[str, str]]] = {
    "iam": ("sigv4", SIGNED),
    "api_key": ("api_key", {"type": "apiKey", "name": "x-api-key", "in": "header"}),
}


class RestInferenceApi(Construct):
    """Routes to the models' aliases, described by one OpenAPI document.

    A document and not a resource for each path and method: ten models would fill half a template. The first
    model that is added takes every path that is no other's, as in ``HttpInferenceApi``.

    The stage lets through ``throttling`` in all; with ``api_key`` each key is held to it as well, and to the
    ``quota``. Bodies of all types count as binary: those of the Open Inference Protocol have many.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, config: ApiConfig, key: kms.IKey | None = None
    ) -> None:
        super().__init__(scope, construct_id)
        self._config = config
        self._has_first = False
        self._paths: dict[str, dict[str, Any]] = {}
        self._throttled: list[apigateway.CfnStage.MethodSettingProperty] = []
        log = AccessLogGroup(self, "AccessLogs", retention_days=config.log_retention_days, key=key)
        self.api = self._build_api(log)
        self.api.node.try_remove_child("Endpoint")  # an output of its own, with the same address
        self.api_keys: list[apigateway.ApiKey] = []
        if config.authorization == "api_key":
            self._build_keys(config.api_keys, config.quota)
        if config.web_acl_arn is not None:
            self._build_waf(config.web_acl_arn)
        self._acknowledge()

    @property
    def url(self) -> str:
        """Where clients send requests."""
        if self._config.domain is not None:
            return f"https://{self._config.domain.name}"
        stack = Stack.of(self)
        # The construct's own ``url`` ends with a slash, that of an HTTP API does not.
        return f"https://{self.api.rest_api_id}.execute-api.{stack.region}.{stack.url_suffix}/{STAGE}"

    @property
    def domain_target(self) -> str | None:
        """What the DNS record of the configuration's domain must point to, if there is one."""
        domain = self.api.domain_name
        return None if domain is None else domain.domain_name_alias_domain_name

    def add_model(self, config: EndpointConfig, alias: lambda_.Alias) -> bool:
        """Route the paths of the configuration's model to ``alias``; whether it is the API's first one."""
        is_first = not self._has_first
        self._has_first = True
        self._add_routes(endpoint_routes(config, is_first=is_first), alias, config.throttling)
        for version in config.model.earlier:
            routes = version_routes(config, version)
            self._add_routes(routes, released(self, alias, version), config.throttling)
        return is_first

    @property
    def variables(self) -> dict[str, str]:
        """What the functions behind it must know."""
        return {} if self._config.cors is None else {VARIABLE: origin(self._config.cors)}

    def grant_invoke(self, grantee: iam.IGrantable, model: str | None = None) -> iam.Grant:
        """Allow ``grantee`` to send signed requests to one model's paths, or to every path."""
        paths = ["/*"] if model is None else [*model_paths(model), *MODELLESS]
        return iam.Grant.add_to_principal(
            grantee=grantee,
            actions=["execute-api:Invoke"],
            resource_arns=[self.api.arn_for_execute_api("*", path, STAGE) for path in paths],
        )

    def metric_server_error(self) -> cloudwatch.Metric:
        """Answers of 5xx of the whole API, within a minute."""
        return self.api.metric_server_error(period=Duration.minutes(1), statistic="Sum")

    def document(self) -> Document:
        """The API in OpenAPI, with API Gateway's extensions."""
        schemes = dict([_SECURITY[self._config.authorization]] if self._is_closed else [])
        document: Document = {
            "openapi": "3.0.1",
            "info": {"title": Stack.of(self).stack_name, "version": "1"},
            "x-amazon-apigateway-binary-media-types": ["*/*"],
            "components": {"securitySchemes": schemes},
            "paths": self._paths,
        }
        if self._config.cors is not None:
            document["x-amazon-apigateway-gateway-responses"] = gateway_responses(self._config.cors)
        return document

    @property
    def _is_closed(self) -> bool:
        return self._config.authorization in _SECURITY

    def _add_routes(
        self, routes: list[tuple[str, str]], target: lambda_.IFunction, throttling: Throttling
    ) -> None:
        operation = self._operation(target)
        for method, path in routes:
            self._paths.setdefault(path, {})[method.lower()] = operation
            if self._config.cors is not None:
                self._paths[path]["options"] = preflight(self._config, self._config.cors)
            if throttling != self._config.throttling:
                self._throttle(method, path, throttling)
        target.add_permission(
            "RestApi",
            principal=iam.ServicePrincipal("apigateway.amazonaws.com"),
            source_arn=self.api.arn_for_execute_api("*", "/*", STAGE),
        )

    def _operation(self, target: lambda_.IFunction) -> dict[str, Any]:
        name = _SECURITY[self._config.authorization][0] if self._is_closed else None
        return {
            "responses": {},
            **({"security": [{name: []}]} if name is not None else {}),
            # It may take 29 s, which need not be said to each of several hundred.
            "x-amazon-apigateway-integration": _streamed(target)
            if self._config.streaming
            else integration(target),
        }

    def _build_api(self, log: AccessLogGroup) -> apigateway.SpecRestApi:
        throttling = self._config.throttling
        domain = self._config.domain
        return apigateway.SpecRestApi(
            self,
            "Api",
            rest_api_name=Stack.of(self).stack_name,
            api_definition=apigateway.ApiDefinition.from_inline(later(self.document)),
            # A model that is gone from the document is gone from the API; merging would keep its paths.
            mode=apigateway.RestApiMode.OVERWRITE,
            endpoint_types=[apigateway.EndpointType.REGIONAL],
            # An account writes no access log of a REST API without this role; it is the account's, for all of
            # its APIs, and so it stays.
            cloud_watch_role=True,
            cloud_watch_role_removal_policy=RemovalPolicy.RETAIN,
            deploy_options=apigateway.StageOptions(
                stage_name=STAGE,
                throttling_rate_limit=throttling.rate,
                throttling_burst_limit=throttling.burst,
                access_log_destination=apigateway.LogGroupLogDestination(log),
                access_log_format=log_format(),
                # Each event says so to the function: versions published before the switch follow it too.
                variables={"streaming": "1"} if self._config.streaming else None,
            ),
            domain_name=None if domain is None else self._domain_options(domain),
        )

    def _domain_options(self, domain: Domain) -> apigateway.DomainNameOptions:
        return apigateway.DomainNameOptions(
            domain_name=domain.name,
            certificate=acm.Certificate.from_certificate_arn(self, "Certificate", domain.certificate_arn),
            security_policy=apigateway.SecurityPolicy.TLS_1_2,
        )

    def _build_keys(self, names: tuple[str, ...], quota: Quota | None) -> None:
        throttling = self._config.throttling
        plan = self.api.add_usage_plan(
            "Plan",
            name=Stack.of(self).stack_name,
            throttle=apigateway.ThrottleSettings(rate_limit=throttling.rate, burst_limit=throttling.burst),
            quota=None
            if quota is None
            else apigateway.QuotaSettings(limit=quota.limit, period=_PERIODS[quota.period]),
            api_stages=[apigateway.UsagePlanPerApiStage(api=self.api, stage=self.api.deployment_stage)],
        )
        for name in names:
            key = apigateway.ApiKey(self, f"Key {name}", api_key_name=f"{Stack.of(self).stack_name}-{name}")
            plan.add_api_key(key)
            self.api_keys.append(key)

    def _build_waf(self, web_acl_arn: str) -> None:
        wafv2.CfnWebACLAssociation(
            self,
            "Waf",
            resource_arn=self.api.deployment_stage.stage_arn,
            web_acl_arn=web_acl_arn,
        )

    def _throttle(self, method: str, path: str, throttling: Throttling) -> None:
        self._throttled.append(
            apigateway.CfnStage.MethodSettingProperty(
                http_method=method,
                resource_path="/" + path.replace("/", "~1"),
                throttling_rate_limit=throttling.rate,
                throttling_burst_limit=throttling.burst,
            )
        )
        stage = self.api.deployment_stage.node.default_child
        assert isinstance(stage, apigateway.CfnStage)  # noqa: S101 - what a Stage is made of
        everything = apigateway.CfnStage.MethodSettingProperty(
            http_method="*",
            resource_path="/*",
            throttling_rate_limit=self._config.throttling.rate,
            throttling_burst_limit=self._config.throttling.burst,
        )
        stage.method_settings = [everything, *self._throttled]

    def _acknowledge(self) -> None:
        reasons = {
            "AwsSolutions-APIG2": "The handler checks each request against the model's own signature, and "
            "says what is wrong with it; a schema in the API could only say less.",
            "AwsSolutions-APIG6": "The access log says of each request what became of it; execution logs "
            "would add headers and cost, and nothing that the function's own log does not say.",
            f"AwsSolutions-IAM4[Policy::{_LOG_POLICY}]": (
                "API Gateway's own policy for writing logs, made for this role."
            ),
            "Serverless-APIGWXrayEnabled": "One function behind one API: the access log and the function's "
            "own metrics say where the time went.",
        }
        if self._config.web_acl_arn is None:
            reasons["AwsSolutions-APIG3"] = (
                "A web ACL costs by the month: it is there where the configuration names one (web_acl_arn)."
            )
        for rule, reason in reasons.items():
            acknowledge(self, rule, reason)


def _streamed(target: lambda_.IFunction) -> Document:
    """How ``target`` answers in a stream, in which Lambda carries 200 MB and not 6 MB."""
    call = "2021-11-15/{}/response-streaming-invocations"
    return {**integration(target, call=call), "responseTransferMode": "STREAM"}


_PERIODS = {
    "day": apigateway.Period.DAY,
    "week": apigateway.Period.WEEK,
    "month": apigateway.Period.MONTH,
}
