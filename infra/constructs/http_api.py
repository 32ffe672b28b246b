"""The HTTP API in front of the alias."""

import json

import jsii
from aws_cdk import Names, Stack
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_apigatewayv2 as apigatewayv2
from aws_cdk import aws_apigatewayv2_authorizers as authorizers
from aws_cdk import aws_apigatewayv2_integrations as integrations
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.config import Authorization, Throttling
from infra.constructs.logs import ServiceLogGroup
from infra.constructs.nag import acknowledge

# Who asked for what, what was answered and how long it took; `error` says why a request never reached the
# function.
_ACCESS_LOG_FIELDS = {
    "requestId": "$context.requestId",
    "time": "$context.requestTime",
    "ip": "$context.identity.sourceIp",
    "caller": "$context.identity.caller",
    "method": "$context.httpMethod",
    "path": "$context.path",
    "status": "$context.status",
    "responseBytes": "$context.responseLength",
    "latencyMs": "$context.responseLatency",
    "integrationLatencyMs": "$context.integrationLatency",
    "error": "$context.error.message",
    "integrationError": "$context.integrationErrorMessage",
}


class InferenceApi(Construct):
    """One route, ``ANY /{proxy+}``, to the alias and never to ``$LATEST``: the handler knows the paths.

    Requests are signed with the caller's AWS credentials unless ``authorization`` is ``none``; the stage lets
    through ``throttling`` and answers the rest with 429. The access log holds no payload and no credential.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        alias: lambda_.Alias,
        authorization: Authorization,
        throttling: Throttling,
    ) -> None:
        super().__init__(scope, construct_id)
        self.api = self._build_api(alias, authorization)
        self.access_log_group = self._build_access_log_group()
        self.stage = self._build_stage(throttling)

    def grant_invoke(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow ``grantee`` to send signed requests to every path of this API."""
        return iam.Grant.add_to_principal(
            grantee=grantee,
            actions=["execute-api:Invoke"],
            resource_arns=[self.api.arn_for_execute_api("*", "/*", "*")],
        )

    def _build_api(self, alias: lambda_.Alias, authorization: Authorization) -> apigatewayv2.HttpApi:
        api = apigatewayv2.HttpApi(
            self,
            "Api",
            api_name=Stack.of(self).stack_name,
            description="coldpress: model inference",
            create_default_stage=False,
        )
        routes = api.add_routes(
            path="/{proxy+}",
            methods=[apigatewayv2.HttpMethod.ANY],
            integration=integrations.HttpLambdaIntegration("Alias", alias),
            authorizer=authorizers.HttpIamAuthorizer() if authorization == "iam" else None,
        )
        if authorization == "none":
            for route in routes:
                acknowledge(
                    route,
                    "AwsSolutions-APIG4",
                    'The configuration says authorization "none": whoever set it wants the endpoint open to '
                    "everyone. Throttling still limits what that can cost.",
                )
        return api

    def _build_access_log_group(self) -> ServiceLogGroup:
        # Under this prefix API Gateway needs no entry of its own in the account's log resource policy,
        # which is limited in length and fails the deployment when it is full.
        name = Names.unique_resource_name(self, max_length=128, separator="-")
        return ServiceLogGroup(self, "AccessLogs", log_group_name=f"/aws/vendedlogs/coldpress/{name}")

    def _build_stage(self, throttling: Throttling) -> apigatewayv2.HttpStage:
        return apigatewayv2.HttpStage(
            self,
            "Stage",
            http_api=self.api,
            stage_name="$default",
            auto_deploy=True,
            throttle=apigatewayv2.ThrottleSettings(rate_limit=throttling.rate, burst_limit=throttling.burst),
            access_log_settings=_AccessLog(self.access_log_group),
        )


@jsii.implements(apigatewayv2.IAccessLogSettings)
class _AccessLog:
    """One JSON object a request, into a log group."""

    def __init__(self, log_group: ServiceLogGroup) -> None:
        self._destination = apigatewayv2.LogGroupLogDestination(log_group)

    @property
    def destination(self) -> apigatewayv2.IAccessLogDestination:
        return self._destination

    @property
    def format(self) -> apigateway.AccessLogFormat:
        return apigateway.AccessLogFormat.custom(json.dumps(_ACCESS_LOG_FIELDS))
