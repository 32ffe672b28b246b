"""What a deployment left behind, compared with its template.

A green check from ``cdk deploy`` says that CloudFormation was content. Here every resource and output of the
template is looked for in the stack, and every resource in the service that should have it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from emulator import settings
from emulator.clients import client_at
from emulator.cloudformation.apigatewayv2_document import ANY_METHOD
from emulator.cloudformation.deployment import references

Template = dict[str, Any]


@dataclass(frozen=True)
class _Deployed:
    """One resource of the stack, and how to ask the services about it."""

    physical_id: str
    body: Template
    physical_ids: dict[str, str]  # of all of the stack's resources
    service: Callable[[str], Any]

    def id_of(self, property_name: str) -> str:
        """The physical id that a property refers to."""
        value = self.body["Properties"][property_name]
        return self.physical_ids[value["Ref"]] if isinstance(value, dict) else value


def compare(stack_name: str, template: Template, cloudformation: Any) -> list[str]:
    """Sentences that say what of ``template`` is missing from the deployed stack; none if all is there.

    ``cloudformation`` is a boto3 client of the emulator; the other services are asked at its endpoint.
    Resources and outputs that depend on a condition are not looked for.
    """
    try:
        stack = cloudformation.describe_stacks(StackName=stack_name)["Stacks"][0]
    except ClientError as error:
        return [f"The stack {stack_name} does not exist: {error.response['Error']['Message']}."]
    problems = []
    if stack["StackStatus"] not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        problems.append(f"The stack {stack_name} is {stack['StackStatus']}.")
    outputs = {output["OutputKey"]: output.get("OutputValue") for output in stack.get("Outputs", [])}
    problems += [
        f"The output {name} has no value."
        for name, body in template.get("Outputs", {}).items()
        if "Condition" not in body and not outputs.get(name)
    ]
    meta = cloudformation.meta
    found = {
        resource["LogicalResourceId"]: resource
        for resource in cloudformation.describe_stack_resources(StackName=stack_name)["StackResources"]
    }
    physical_ids = {name: resource.get("PhysicalResourceId", "") for name, resource in found.items()}
    for name, body in template["Resources"].items():
        if name in found:
            deployed = _Deployed(
                physical_ids[name],
                body,
                physical_ids,
                lambda service: client_at(meta.endpoint_url, service, meta.region_name),
            )
            problems += _check(name, found[name], deployed)
        elif "Condition" not in body:
            problems.append(f"{name} ({body['Type']}) is not in the stack.")
    return problems


def _check(name: str, found: Template, deployed: _Deployed) -> list[str]:
    resource_type = deployed.body["Type"]
    if found["ResourceType"] != resource_type:
        return [f"{name} is a {found['ResourceType']}, not a {resource_type}."]
    if not found["ResourceStatus"].endswith("_COMPLETE"):
        return [f"{name} ({resource_type}) is {found['ResourceStatus']}."]
    check = _CHECKS.get(resource_type)
    try:
        there = check is None or check(deployed)
    except ClientError:
        there = False
    return (
        [] if there else [f"{name} ({resource_type}) is in the stack, but not as the template says in AWS."]
    )


def _alarm(deployed: _Deployed) -> bool:
    alarms = deployed.service("cloudwatch").describe_alarms(AlarmNames=[deployed.physical_id])["MetricAlarms"]
    wanted = deployed.body["Properties"]
    same = ("Statistic", "ExtendedStatistic", "Period", "Threshold", "EvaluationPeriods")
    return bool(alarms) and all(alarms[0].get(key) == wanted.get(key) for key in same if key in wanted)


def _alias(deployed: _Deployed) -> bool:
    """There, and on the version that this very template publishes."""
    properties = deployed.body["Properties"]
    alias = deployed.service("lambda").get_alias(
        FunctionName=deployed.id_of("FunctionName"), Name=properties["Name"]
    )
    version = properties["FunctionVersion"]
    if isinstance(version, dict):
        version = deployed.physical_ids[version["Fn::GetAtt"][0]].rpartition(":")[2]
    return bool(alias["FunctionVersion"] == version)


def _anomaly_subscription(deployed: _Deployed) -> bool:
    found = deployed.service("ce").get_anomaly_subscriptions(SubscriptionArnList=[deployed.physical_id])
    wanted = deployed.body["Properties"]
    same = ("Frequency", "Subscribers")
    return any(all(one[key] == wanted[key] for key in same) for one in found["AnomalySubscriptions"])


def _rest_stage(deployed: _Deployed) -> bool:
    """There, and with the deployment that this very template makes."""
    stage = deployed.service("apigateway").get_stage(
        restApiId=deployed.id_of("RestApiId"), stageName=deployed.physical_id
    )
    return bool(stage["deploymentId"] == deployed.id_of("DeploymentId"))


def _http_api(deployed: _Deployed) -> bool:
    """There, and where a document describes it, with that document's routes and no others."""
    api = deployed.service("apigatewayv2")
    if "Body" not in deployed.body["Properties"]:
        return bool(api.get_api(ApiId=deployed.physical_id))
    paths = deployed.body["Properties"]["Body"]["paths"]
    wanted = {(path, method.replace(ANY_METHOD, "any")) for path, item in paths.items() for method in item}
    routes = api.get_routes(ApiId=deployed.physical_id)["Items"]
    return wanted == {
        (path, method.lower()) for method, _, path in (r["RouteKey"].partition(" ") for r in routes)
    }


def _function(deployed: _Deployed) -> bool:
    """There, with the variables that the template spells out."""
    configuration = deployed.service("lambda").get_function(FunctionName=deployed.physical_id)[
        "Configuration"
    ]
    variables = configuration.get("Environment", {}).get("Variables", {})
    wanted = deployed.body["Properties"].get("Environment", {}).get("Variables", {})
    return all(variables.get(key) == value for key, value in wanted.items() if isinstance(value, str))


def _event_invoke_config(deployed: _Deployed) -> bool:
    found = deployed.service("lambda").get_function_event_invoke_config(
        FunctionName=deployed.id_of("FunctionName")
    )
    wanted = deployed.body["Properties"]
    same = ("MaximumEventAgeInSeconds", "MaximumRetryAttempts")
    return all(found.get(key) == wanted.get(key) for key in same)


def _version(deployed: _Deployed) -> bool:
    arn, _, number = deployed.physical_id.rpartition(":")
    return bool(deployed.service("lambda").get_function(FunctionName=arn, Qualifier=number))


def _permission(deployed: _Deployed) -> bool:
    (named,) = references(deployed.body["Properties"]["FunctionName"])  # its name, or an ARN made of it
    function = deployed.physical_ids[named]
    name = function.split(":")[6] if function.startswith("arn:") else function
    policy: str = deployed.service("lambda").get_policy(FunctionName=name)["Policy"]
    return deployed.physical_id in policy


def _log_group(deployed: _Deployed) -> bool:
    groups = deployed.service("logs").describe_log_groups(logGroupNamePrefix=deployed.physical_id)[
        "logGroups"
    ]
    return any(group["logGroupName"] == deployed.physical_id for group in groups)


def _scalable_target(deployed: _Deployed) -> bool:
    resource_id, dimension, namespace = deployed.physical_id.split("|")
    targets = deployed.service("application-autoscaling").describe_scalable_targets(
        ServiceNamespace=namespace, ResourceIds=[resource_id], ScalableDimension=dimension
    )["ScalableTargets"]
    wanted = deployed.body["Properties"]
    return bool(targets) and all(targets[0][key] == wanted[key] for key in ("MinCapacity", "MaxCapacity"))


def _scaling_policy(deployed: _Deployed) -> bool:
    # arn:...:scalingPolicy:<uuid>:resource/<namespace>/...
    namespace = deployed.physical_id.split(":resource/")[1].split("/")[0]
    policies = deployed.service("application-autoscaling").describe_scaling_policies(
        ServiceNamespace=namespace
    )
    return any(policy["PolicyARN"] == deployed.physical_id for policy in policies["ScalingPolicies"])


# Answers, or raises botocore's ClientError, or is falsy: the last two mean that it is not there.
_CHECKS: dict[str, Callable[[_Deployed], object]] = {
    "AWS::ApiGateway::ApiKey": lambda r: r.service("apigateway").get_api_key(apiKey=r.physical_id),
    "AWS::ApiGateway::RestApi": lambda r: r.service("apigateway").get_rest_api(restApiId=r.physical_id),
    "AWS::ApiGateway::Stage": _rest_stage,
    "AWS::ApiGateway::UsagePlan": lambda r: r.service("apigateway").get_usage_plan(usagePlanId=r.physical_id),
    "AWS::ApiGatewayV2::Api": _http_api,
    "AWS::ApiGatewayV2::Integration": lambda r: r.service("apigatewayv2").get_integration(
        ApiId=r.id_of("ApiId"), IntegrationId=r.physical_id
    ),
    "AWS::ApiGatewayV2::Route": lambda r: r.service("apigatewayv2").get_route(
        ApiId=r.id_of("ApiId"), RouteId=r.physical_id
    ),
    "AWS::ApiGatewayV2::Stage": lambda r: r.service("apigatewayv2").get_stage(
        ApiId=r.id_of("ApiId"), StageName=r.physical_id
    ),
    "AWS::ApplicationAutoScaling::ScalableTarget": _scalable_target,
    "AWS::ApplicationAutoScaling::ScalingPolicy": _scaling_policy,
    "AWS::Budgets::Budget": lambda r: r.service("budgets").describe_budget(
        AccountId=settings.ACCOUNT, BudgetName=r.physical_id
    ),
    "AWS::CE::AnomalyMonitor": lambda r: r.service("ce").get_anomaly_monitors(MonitorArnList=[r.physical_id])[
        "AnomalyMonitors"
    ],
    "AWS::CE::AnomalySubscription": _anomaly_subscription,
    "AWS::CloudWatch::Alarm": _alarm,
    "AWS::CloudWatch::Dashboard": lambda r: r.service("cloudwatch").get_dashboard(
        DashboardName=r.physical_id
    ),
    "AWS::CodeDeploy::Application": lambda r: r.service("codedeploy").get_application(
        applicationName=r.physical_id
    ),
    "AWS::CodeDeploy::DeploymentGroup": lambda r: r.service("codedeploy").get_deployment_group(
        applicationName=r.id_of("ApplicationName"), deploymentGroupName=r.physical_id
    ),
    "AWS::IAM::Role": lambda r: r.service("iam").get_role(RoleName=r.physical_id),
    "AWS::Lambda::Alias": _alias,
    "AWS::Lambda::EventInvokeConfig": _event_invoke_config,
    "AWS::Lambda::Function": _function,
    "AWS::Lambda::Permission": _permission,
    "AWS::Lambda::Version": _version,
    "AWS::Logs::LogGroup": _log_group,
    "AWS::S3::Bucket": lambda r: r.service("s3").head_bucket(Bucket=r.physical_id),
    "AWS::SNS::Topic": lambda r: r.service("sns").get_topic_attributes(TopicArn=r.physical_id),
    "AWS::StepFunctions::StateMachine": lambda r: r.service("stepfunctions").describe_state_machine(
        stateMachineArn=r.physical_id
    ),
}
