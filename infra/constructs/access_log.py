"""The API's access log: who asked for what, what was answered and when; no payload, no credential."""

import json

import jsii
from aws_cdk import Names
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_apigatewayv2 as apigatewayv2
from aws_cdk import aws_kms as kms
from constructs import Construct

from infra.constructs.logs import ServiceLogGroup

# `error` says why a request never reached the function.
_FIELDS = {
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


def log_format() -> apigateway.AccessLogFormat:
    """One JSON object a request."""
    return apigateway.AccessLogFormat.custom(json.dumps(_FIELDS))


class AccessLogGroup(ServiceLogGroup):
    """Where it is written.

    Under this prefix API Gateway needs no entry of its own in the account's log resource policy, which is
    limited in length and fails the deployment when it is full.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, retention_days: int, key: kms.IKey | None
    ) -> None:
        name = Names.unique_resource_name(scope, max_length=128, separator="-")
        super().__init__(
            scope,
            construct_id,
            retention_days=retention_days,
            key=key,
            log_group_name=f"/aws/vendedlogs/coldpress/{name}",
        )


@jsii.implements(apigatewayv2.IAccessLogSettings)
class HttpAccessLog:
    """The settings of an HTTP API's stage."""

    def __init__(self, log_group: AccessLogGroup) -> None:
        self._destination = apigatewayv2.LogGroupLogDestination(log_group)

    @property
    def destination(self) -> apigatewayv2.IAccessLogDestination:
        """The log group."""
        return self._destination

    @property
    def format(self) -> apigateway.AccessLogFormat:
        """See ``log_format``."""
        return log_format()
