"""The HTTP API in front of one model's alias, or of several models'."""

from aws_cdk import Duration, Stack
from aws_cdk import aws_apigatewayv2 as apigatewayv2
from aws_cdk import aws_apigatewayv2_authorizers as authorizers
from aws_cdk import aws_apigatewayv2_integrations as integrations
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.config import ApiConfig, Cors, Domain, EndpointConfig, Throttling
from infra.constructs.access_log import AccessLogGroup, HttpAccessLog
from infra.constructs.nag import acknowledge
from infra.constructs.released_versions import released
from infra.constructs.routes import MODELLESS, endpoint_routes, model_paths, version_path, version_routes


class HttpInferenceApi(Construct):
    """Routes to the models' aliases and never to ``$LATEST``: the handlers know the paths.

    The first model that is added takes every path that is no other's, by one route: its own paths, and those
    that name no model (``/v2``, ``/v2/health/*``, ``/openapi.json``, ``/docs``). Each further one takes the
    paths with its name. In an API of somebody else's (``http_api``) every model takes its own paths only, and
    stages, throttling, logs, CORS and the domain are that API's own matter.

    The stage lets through ``throttling`` on each route and answers the rest with 429. With CORS the API
    answers preflight requests itself, and no route takes OPTIONS, because a browser signs none.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        config: ApiConfig,
        http_api: apigatewayv2.IHttpApi | None = None,
        key: kms.IKey | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        self._config = config
        self._has_first = http_api is not None
        self._route_settings: dict[str, dict[str, float]] = {}
        self._authorizer = self._build_authorizer()
        self._domain: apigatewayv2.DomainName | None = None
        self._stage: apigatewayv2.HttpStage | None = None
        self.api: apigatewayv2.IHttpApi = http_api or self._build_api(config.cors)
        if http_api is None:
            if config.domain is not None:
                self._domain = self._build_domain(config.domain)
            log = AccessLogGroup(self, "AccessLogs", retention_days=config.log_retention_days, key=key)
            self._stage = self._build_stage(log)

    @property
    def url(self) -> str:
        """Where clients send requests."""
        domain = self._config.domain
        return self.api.api_endpoint if domain is None else f"https://{domain.name}"

    @property
    def domain_target(self) -> str | None:
        """What the DNS record of the configuration's domain must point to, if there is one."""
        return None if self._domain is None else self._domain.regional_domain_name

    def add_model(self, config: EndpointConfig, alias: lambda_.Alias) -> bool:
        """Route the paths of the configuration's model to ``alias``; whether it is the API's first one."""
        is_first = not self._has_first
        self._has_first = True
        name = config.model.name
        routes = self._methods(endpoint_routes(config, is_first=is_first))
        self._add_routes(routes, name, alias, config.throttling)
        for version in config.model.earlier:
            routes = self._methods(version_routes(config, version))
            target = released(self, alias, version)
            self._add_routes(routes, version_path(name, version), target, config.throttling)
        return is_first

    def grant_invoke(self, grantee: iam.IGrantable, model: str | None = None) -> iam.Grant:
        """Allow ``grantee`` to send signed requests to one model's paths, or to every path."""
        paths = ["/*"] if model is None else [*model_paths(model), *MODELLESS]
        return iam.Grant.add_to_principal(
            grantee=grantee,
            actions=["execute-api:Invoke"],
            resource_arns=[_arn(self.api, path) for path in paths],
        )

    def metric_server_error(self) -> cloudwatch.Metric:
        """Answers of 5xx of the whole API, within a minute."""
        return self.api.metric_server_error(period=Duration.minutes(1), statistic="Sum")

    def _methods(self, routes: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """Each path once, for every method, where no preflight must pass by unsigned."""
        if self._config.cors is not None:
            return routes
        return [("ANY", path) for path in dict.fromkeys(path for _, path in routes)]

    def _add_routes(
        self, routes: list[tuple[str, str]], name: str, target: lambda_.IFunction, throttling: Throttling
    ) -> None:
        integration = integrations.HttpLambdaIntegration(name, target, scope_permission_to_route=False)
        for method, path in routes:
            route = apigatewayv2.HttpRoute(
                self,
                f"{method} {path}",
                http_api=self.api,
                route_key=apigatewayv2.HttpRouteKey.with_(path, apigatewayv2.HttpMethod[method]),
                integration=integration,
                authorizer=self._authorizer,
            )
            self._acknowledge(route)
            if throttling != self._config.throttling and self._stage is not None:
                self._throttle(self._stage, route, f"{method} {path}", throttling)

    def _build_api(self, cors: Cors | None) -> apigatewayv2.HttpApi:
        return apigatewayv2.HttpApi(
            self,
            "Api",
            api_name=Stack.of(self).stack_name,
            description="coldpress: model inference",
            create_default_stage=False,
            cors_preflight=None
            if cors is None
            else apigatewayv2.CorsPreflightOptions(
                allow_origins=[*cors.origins],
                allow_headers=[*cors.headers],
                allow_methods=[apigatewayv2.CorsHttpMethod.GET, apigatewayv2.CorsHttpMethod.POST],
                expose_headers=["inference-header-content-length"],
                max_age=Duration.seconds(cors.max_age_s),
            ),
        )

    def _build_authorizer(self) -> apigatewayv2.IHttpRouteAuthorizer:
        if self._config.authorization == "iam":
            return authorizers.HttpIamAuthorizer()
        if self._config.jwt is not None:
            return authorizers.HttpJwtAuthorizer(
                "Jwt", self._config.jwt.issuer, jwt_audience=[*self._config.jwt.audience]
            )
        return apigatewayv2.HttpNoneAuthorizer()

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

    def _throttle(
        self, stage: apigatewayv2.HttpStage, route: apigatewayv2.HttpRoute, key: str, throttling: Throttling
    ) -> None:
        self._route_settings[key] = {
            "ThrottlingRateLimit": throttling.rate,
            "ThrottlingBurstLimit": throttling.burst,
        }
        resource = stage.node.default_child
        assert isinstance(resource, apigatewayv2.CfnStage)  # noqa: S101 - what an HttpStage is made of
        resource.route_settings = self._route_settings
        # Settings for a route that does not exist yet are refused.
        stage.node.add_dependency(route)

    def _acknowledge(self, route: apigatewayv2.HttpRoute) -> None:
        if self._config.authorization == "none":
            acknowledge(
                route,
                "AwsSolutions-APIG4",
                'The configuration says authorization "none": whoever set it wants the endpoint open to '
                "everyone. Throttling still limits what that can cost.",
            )


def _arn(api: apigatewayv2.IHttpApi, path: str) -> str:
    return Stack.of(api).format_arn(service="execute-api", resource=api.api_id, resource_name=f"*/*{path}")
