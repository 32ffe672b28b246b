"""The HTTP API in front of one model's alias, or of several models'."""

from aws_cdk import Duration, Stack
from aws_cdk import aws_apigatewayv2 as apigatewayv2
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.config import OWN_LIMITS, ApiConfig, Domain, EndpointConfig, InvalidConfig
from infra.constructs.access_log import AccessLogGroup, HttpAccessLog
from infra.constructs.openapi import SIGNED, Document, integration, later
from infra.constructs.released_versions import released
from infra.constructs.routes import (
    MODELLESS,
    any_method,
    endpoint_routes,
    model_paths,
    version_path,
    version_routes,
)

_SCHEME = "callers"


class HttpInferenceApi(Construct):
    """Routes to the models' aliases and never to ``$LATEST``, described by one OpenAPI document.

    A document and not a resource for each route: docs/decisions/0002-one-api-several-models.md. The handlers
    know the paths. The first model that is added takes every path that is no other's, by one route: its own
    paths, and those that name no model (``/v2``, ``/v2/health/*``, ``/openapi.json``, ``/docs``). Each
    further one takes the paths with its name.

    The stage lets through ``throttling`` on each route, the same on all, and answers the rest with 429. With
    CORS the API answers preflight requests itself, and no route takes OPTIONS, because a browser signs none.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, config: ApiConfig, key: kms.IKey | None = None
    ) -> None:
        super().__init__(scope, construct_id)
        self._config = config
        self._has_first = False
        self._paths: dict[str, Document] = {}
        self._integrations: dict[str, Document] = {}
        self._route_settings: dict[str, dict[str, float]] = {}
        self._resource = self._build_api()
        self.api: apigatewayv2.IHttpApi = apigatewayv2.HttpApi.from_http_api_attributes(
            self, "Imported", http_api_id=self._resource.ref, api_endpoint=self._resource.attr_api_endpoint
        )
        self._domain = None if config.domain is None else self._build_domain(config.domain)
        log = AccessLogGroup(self, "AccessLogs", retention_days=config.log_retention_days, key=key)
        self._stage = self._build_stage(log)

    @property
    def url(self) -> str:
        """Where clients send requests."""
        domain = self._config.domain
        return self._resource.attr_api_endpoint if domain is None else f"https://{domain.name}"

    @property
    def domain_target(self) -> str | None:
        """What the DNS record of the configuration's domain must point to, if there is one."""
        return None if self._domain is None else self._domain.regional_domain_name

    def add_model(self, config: EndpointConfig, alias: lambda_.Alias) -> bool:
        """Route the paths of the configuration's model to ``alias``; whether it is the API's first one.

        Raises:
            InvalidConfig: the model has ``throttling`` of its own.
        """
        is_first = not self._has_first
        self._has_first = True
        name = config.model.name
        if config.throttling != self._config.throttling:
            raise InvalidConfig(f"throttling of the model {name} {OWN_LIMITS}.")
        self._add_routes(endpoint_routes(config, is_first=is_first), name, alias)
        for version in config.model.earlier:
            self._add_routes(
                version_routes(config, version),
                version_path(name, version).replace("/", "."),
                released(self, alias, version),
            )
        return is_first

    def grant_invoke(self, grantee: iam.IGrantable, model: str | None = None) -> iam.Grant:
        """Allow ``grantee`` to send signed requests to one model's paths, or to every path."""
        return grant_invoke(self.api, grantee, model)

    def metric_server_error(self) -> cloudwatch.Metric:
        """Answers of 5xx of the whole API, within a minute."""
        return self.api.metric_server_error(period=Duration.minutes(1), statistic="Sum")

    def document(self) -> Document:
        """The API in OpenAPI, with API Gateway's extensions."""
        scheme, cors = self._scheme(), self._config.cors
        document: Document = {
            "openapi": "3.0.1",
            "info": {
                "title": Stack.of(self).stack_name,
                "version": "1",
                "description": "coldpress: model inference",
            },
            "tags": [
                {"name": name, "x-amazon-apigateway-tag-value": value}
                for name, value in sorted(self._resource.tags.tag_values().items())
            ],
            "components": {
                "securitySchemes": {} if scheme is None else {_SCHEME: scheme},
                "x-amazon-apigateway-integrations": self._integrations,
            },
            "paths": self._paths,
        }
        if cors is not None:
            document["x-amazon-apigateway-cors"] = {
                "allowOrigins": [*cors.origins],
                "allowHeaders": [*cors.headers],
                "allowMethods": ["GET", "POST"],
                "exposeHeaders": ["inference-header-content-length"],
                "maxAge": cors.max_age_s,
            }
        return document

    def _scheme(self) -> Document | None:
        """Who may call, as the document says it; None for everyone."""
        if self._config.authorization == "iam":
            return SIGNED
        if self._config.jwt is None:
            return None
        return {
            "type": "oauth2",
            "x-amazon-apigateway-authorizer": {
                "type": "jwt",
                "identitySource": "$request.header.Authorization",
                "jwtConfiguration": {
                    "issuer": self._config.jwt.issuer,
                    "audience": [*self._config.jwt.audience],
                },
            },
        }

    def _add_routes(self, routes: list[tuple[str, str]], name: str, target: lambda_.IFunction) -> None:
        self._integrations[name] = {**integration(target), "payloadFormatVersion": "2.0"}
        operation: Document = {
            "responses": {},
            "x-amazon-apigateway-integration": {
                "$ref": f"#/components/x-amazon-apigateway-integrations/{name}"
            },
        }
        if self._scheme() is not None:
            operation["security"] = [{_SCHEME: []}]
        for method, path in routes if self._config.cors is not None else any_method(routes):
            key = "x-amazon-apigateway-any-method" if method == "ANY" else method.lower()
            self._paths.setdefault(path, {})[key] = operation
        target.add_permission(
            "HttpApi",
            principal=iam.ServicePrincipal("apigateway.amazonaws.com"),
            source_arn=_arn(self.api, ""),
        )

    def _build_api(self) -> apigatewayv2.CfnApi:
        # Title, tags and CORS stand in the document: beside one, CloudFormation takes no other properties.
        api = apigatewayv2.CfnApi(Construct(self, "Api"), "Resource", body=later(self.document))
        api.add_property_deletion_override("Tags")
        return api

    def _build_domain(self, domain: Domain) -> apigatewayv2.DomainName:
        return apigatewayv2.DomainName(
            self,
            "Domain",
            domain_name=domain.name,
            certificate=acm.Certificate.from_certificate_arn(self, "Certificate", domain.certificate_arn),
        )

    def _build_stage(self, log: AccessLogGroup) -> apigatewayv2.HttpStage:
        throttling = self._config.throttling
        return apigatewayv2.HttpStage(
            self,
            "Stage",
            http_api=self.api,
            stage_name="$default",
            auto_deploy=True,
            throttle=apigatewayv2.ThrottleSettings(rate_limit=throttling.rate, burst_limit=throttling.burst),
            access_log_settings=HttpAccessLog(log),
            domain_mapping=None
            if self._domain is None
            else apigatewayv2.DomainMappingOptions(domain_name=self._domain),
        )


def grant_invoke(api: apigatewayv2.IHttpApi, grantee: iam.IGrantable, model: str | None) -> iam.Grant:
    """Allow ``grantee`` to send signed requests to one model's paths of ``api``, or to every path."""
    paths = ["/*"] if model is None else [*model_paths(model), *MODELLESS]
    return iam.Grant.add_to_principal(
        grantee=grantee,
        actions=["execute-api:Invoke"],
        resource_arns=[_arn(api, path) for path in paths],
    )


def _arn(api: apigatewayv2.IHttpApi, path: str) -> str:
    return Stack.of(api).format_arn(service="execute-api", resource=api.api_id, resource_name=f"*/*{path}")
