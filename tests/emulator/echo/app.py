"""The CDK app that the tests deploy: what coldpress's own stack has, around a handler that echoes."""

import os

import aws_cdk as cdk
from aws_cdk import aws_apigatewayv2 as apigateway
from aws_cdk import aws_apigatewayv2_authorizers as authorizers
from aws_cdk import aws_apigatewayv2_integrations as integrations
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3

DIGEST = os.environ.get("DIGEST", "one")

app = cdk.App()
stack = cdk.Stack(app, os.environ.get("STACK", "echo"))
s3.Bucket(stack, "Bucket", versioned=True, enforce_ssl=True, removal_policy=cdk.RemovalPolicy.RETAIN)
function = lambda_.DockerImageFunction(
    stack,
    "Function",
    code=lambda_.DockerImageCode.from_image_asset("image", build_args={"GREETING": "from the build"}),
    memory_size=256,
    timeout=cdk.Duration.seconds(2),
    environment={"DIGEST": DIGEST},
    log_group=logs.LogGroup(stack, "Log", removal_policy=cdk.RemovalPolicy.DESTROY),
    current_version_options=lambda_.VersionOptions(
        removal_policy=cdk.RemovalPolicy.RETAIN, description=f"digest {DIGEST}"
    ),
)
alias = lambda_.Alias(stack, "Alias", alias_name="live", version=function.current_version)
alias.add_auto_scaling(min_capacity=1, max_capacity=3).scale_on_utilization(utilization_target=0.7)
api = apigateway.HttpApi(stack, "Api", default_authorizer=authorizers.HttpIamAuthorizer())
integration = integrations.HttpLambdaIntegration("Integration", alias)
api.add_routes(path="/{proxy+}", integration=integration)
for path, methods in {
    "/open/{proxy+}": [apigateway.HttpMethod.ANY],
    "/open/exact/{name}": [apigateway.HttpMethod.POST],
}.items():
    api.add_routes(
        path=path, methods=methods, integration=integration, authorizer=apigateway.HttpNoneAuthorizer()
    )
cloudwatch.Alarm(
    stack,
    "SlowAlarm",
    metric=alias.metric_duration(statistic="p99", period=cdk.Duration.minutes(1)),
    threshold=100,
    evaluation_periods=3,
)
cloudwatch.Dashboard(stack, "Dashboard", widgets=[[cloudwatch.GraphWidget(left=[alias.metric_errors()])]])
if "UNSUPPORTED" in os.environ:
    cdk.CfnResource(stack, "Game", type="AWS::GameLift::Fleet")
cdk.CfnOutput(stack, "EndpointUrl", value=api.api_endpoint)
cdk.CfnOutput(stack, "FunctionName", value=function.function_name)
app.synth()
