"""An HTTP API of somebody else's, which models add their routes to."""

from aws_cdk import Duration
from aws_cdk import aws_apigatewayv2 as apigatewayv2
from aws_cdk import aws_apigatewayv2_authorizers as authorizers
from aws_cdk import aws_apigatewayv2_integrations as integrations
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.config import ApiConfig, EndpointConfig
from infra.constructs.http_api import grant_invoke
from infra.constructs.nag import acknowledge
from infra.constructs.released_versions import released
from infra.constructs.routes import any_method, endpoint_routes, version_path, version_routes


class ExistingHttpApi(Construct):
    """Each route a resource, because the API's owner has routes of their own in it.

    Every model takes its own paths only. Stages, throttling, logs, CORS and the domain are that API's matter.
    """

    domain_target = None

    def __init__(
        self, scope: Construct, construct_id: str, *, config: ApiConfig, http_api: apigatewayv2.IHttpApi
    ) -> None:
        super().__init__(scope, construct_id)
        self._config = config
        self._authorizer = self._build_authorizer()
        self.api = http_api

    @property
    def url(self) -> str:
        """Where clients send requests."""
        return self.api.api_endpoint

    def add_model(self, config: EndpointConfig, alias: lambda_.Alias) -> bool:
        """Route the paths of the configuration's model to ``alias``; none is the API's first one."""
        name = config.model.name
        self._add_routes(endpoint_routes(config, is_first=False), name, alias)
        for version in config.model.earlier:
            target = released(self, alias, version)
            self._add_routes(version_routes(config, version), version_path(name, version), target)
        return False

    def grant_invoke(self, grantee: iam.IGrantable, model: str | None = None) -> iam.Grant:
        """Allow ``grantee`` to send signed requests to one model's paths, or to every path."""
        return grant_invoke(self.api, grantee, model)

    def metric_server_error(self) -> cloudwatch.Metric:
        """Answers of 5xx of the whole API, within a minute."""
        return self.api.metric_server_error(period=Duration.minutes(1), statistic="Sum")

    def _add_routes(self, routes: list[tuple[str, str]], name: str, target: lambda_.IFunction) -> None:
        integration = integrations.HttpLambdaIntegration(name, target, scope_permission_to_route=False)
        for method, path in routes if self._config.cors is not None else any_method(routes):
            route = apigatewayv2.HttpRoute(
                self,
                f"{method} {path}",
                http_api=self.api,
                route_key=apigatewayv2.HttpRouteKey.with_(path, apigatewayv2.HttpMethod[method]),
                integration=integration,
                authorizer=self._authorizer,
            )
            self._acknowledge(route)

    def _build_authorizer(self) -> apigatewayv2.IHttpRouteAuthorizer:
        if self._config.authorization == "iam":
            return authorizers.HttpIamAuthorizer()
        if self._config.jwt is not None:
            return authorizers.HttpJwtAuthorizer(
                "Jwt", self._config.jwt.issuer, jwt_audience=[*self._config.jwt.audience]
            )
        return apigatewayv2.HttpNoneAuthorizer()

    def _acknowledge(self, route: apigatewayv2.HttpRoute) -> None:
        if self._config.authorization == "none":
            acknowledge(
                route,
                "AwsSolutions-APIG4",
                'The configuration says authorization "none": whoever set it wants the endpoint open to '
                "everyone. Throttling still limits what that can cost.",
            )
