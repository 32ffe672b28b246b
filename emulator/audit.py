"""What a deployment left behind, compared with its template.

A green check from ``cdk deploy`` says that CloudFormation was content. Here every resource and output of the
template is looked for in the stack, and every resource in the service that should have it; whatever the
service tells of it in the template's own words is compared.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from emulator import settings
from emulator.clients import client_at
from emulator.cloudformation.apigatewayv2_document import ANY_METHOD
from emulator.cloudformation.deployment import references
from emulator.cloudformation.resource import upper_camel

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

    def is_as_wanted(self, found: Any) -> bool:
        """Whether what the service told of it (its call's answer, or nothing) agrees with the template."""
        if not isinstance(found, dict):
            return bool(found)
        wanted = {**self.body.get("Properties", {})}
        if isinstance(found.get("Tags"), dict) and isinstance(wanted.get("Tags"), list):
            wanted["Tags"] = {tag["Key"]: tag["Value"] for tag in wanted["Tags"]}
        return all(self._agree(wanted[key], found[key]) for key in wanted.keys() & found.keys())

    def _agree(self, wanted: Any, found: Any) -> bool:
        """What the template computes is taken as it is found, but for references to other resources."""
        if not wanted and not found:
            return True
        if isinstance(wanted, dict):
            return self._mapping_agrees(wanted, found)
        if isinstance(wanted, list):
            return (
                isinstance(found, list) and len(wanted) == len(found) and all(map(self._agree, wanted, found))
            )
        if isinstance(wanted, str) and isinstance(found, dict):
            return self._agree(json.loads(wanted), found)
        return bool(_plain(wanted) == _plain(found))

    def _mapping_agrees(self, wanted: Template, found: Any) -> bool:
        if "Ref" in wanted:
            return bool(found == self.physical_ids.get(wanted["Ref"], found))
        if any(key.startswith("Fn::") for key in wanted):
            return found is not None
        return isinstance(found, dict) and all(
            self._agree(value, found.get(key)) for key, value in wanted.items()
        )


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
    ask = _QUESTIONS.get(resource_type)
    try:
        there = ask is None or deployed.is_as_wanted(ask(deployed))
    except ClientError:
        there = False
    return (
        [] if there else [f"{name} ({resource_type}) is in the stack, but not as the template says in AWS."]
    )


def _plain(value: Any) -> Any:
    """Numbers and truth as templates and services write them, the same."""
    if isinstance(value, bool):
        return str(value).lower()
    try:
        return float(value)
    except (TypeError, ValueError):
        return value


def _only(found: list[Any]) -> Any:
    """What a call that lists has found, or nothing."""
    return found[0] if len(found) == 1 else None


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


def _budget(deployed: _Deployed) -> Template:
    budget = deployed.service("budgets").describe_budget(
        AccountId=settings.ACCOUNT, BudgetName=deployed.physical_id
    )["Budget"]
    return {"Budget": budget}


def _rest_stage(deployed: _Deployed) -> Any:
    stage = deployed.service("apigateway").get_stage(
        restApiId=deployed.id_of("RestApiId"), stageName=deployed.physical_id
    )
    return {"DeploymentId": stage["deploymentId"], "StageName": stage["stageName"]}


def _http_api(deployed: _Deployed) -> Any:
    """There, and where a document describes it, with that document's routes and no others."""
    api = deployed.service("apigatewayv2")
    if "Body" not in deployed.body["Properties"]:
        return api.get_api(ApiId=deployed.physical_id)
    paths = deployed.body["Properties"]["Body"]["paths"]
    wanted = {(path, method.replace(ANY_METHOD, "any")) for path, item in paths.items() for method in item}
    routes = api.get_routes(ApiId=deployed.physical_id)["Items"]
    return wanted == {
        (path, method.lower()) for method, _, path in (r["RouteKey"].partition(" ") for r in routes)
    }


def _function(deployed: _Deployed) -> Template:
    answer = deployed.service("lambda").get_function(FunctionName=deployed.physical_id)
    configuration = answer["Configuration"]
    return {
        "Environment": configuration.get("Environment"),
        "KmsKeyArn": configuration.get("KMSKeyArn"),
        "MemorySize": configuration["MemorySize"],
        "ReservedConcurrentExecutions": answer.get("Concurrency", {}).get("ReservedConcurrentExecutions"),
        "Tags": answer.get("Tags", {}),
        "Timeout": configuration["Timeout"],
    }


def _version(deployed: _Deployed) -> bool:
    arn, _, number = deployed.physical_id.rpartition(":")
    return bool(deployed.service("lambda").get_function(FunctionName=arn, Qualifier=number))


def _permission(deployed: _Deployed) -> bool:
    (named,) = references(deployed.body["Properties"]["FunctionName"])  # its name, or an ARN made of it
    function = deployed.physical_ids[named]
    name = function.split(":")[6] if function.startswith("arn:") else function
    policy: str = deployed.service("lambda").get_policy(FunctionName=name)["Policy"]
    return deployed.physical_id in policy


def _log_group(deployed: _Deployed) -> Template | None:
    logs = deployed.service("logs")
    groups = logs.describe_log_groups(logGroupNamePrefix=deployed.physical_id)["logGroups"]
    group = next((group for group in groups if group["logGroupName"] == deployed.physical_id), None)
    return group and {
        "KmsKeyId": group.get("kmsKeyId"),
        "RetentionInDays": group.get("retentionInDays"),
        "Tags": logs.list_tags_log_group(logGroupName=deployed.physical_id)["tags"],
    }


def _role(deployed: _Deployed) -> Template:
    iam, name = deployed.service("iam"), deployed.physical_id
    role = iam.get_role(RoleName=name)["Role"]
    # A policy that is a resource of its own stands beside these.
    policies = [
        {key: iam.get_role_policy(RoleName=name, PolicyName=policy["PolicyName"])[key] for key in policy}
        for policy in deployed.body["Properties"].get("Policies", [])
    ]
    return {
        "AssumeRolePolicyDocument": role["AssumeRolePolicyDocument"],
        "PermissionsBoundary": role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn"),
        "Policies": policies,
        "Tags": {tag["Key"]: tag["Value"] for tag in role.get("Tags", [])},
    }


def _delivery_stream(deployed: _Deployed) -> Any:
    described = deployed.service("firehose").describe_delivery_stream(DeliveryStreamName=deployed.physical_id)
    (destination,) = described["DeliveryStreamDescription"]["Destinations"]
    return {"ExtendedS3DestinationConfiguration": destination["ExtendedS3DestinationDescription"]}


def _scalable_target(deployed: _Deployed) -> Any:
    resource_id, dimension, namespace = deployed.physical_id.split("|")
    targets = deployed.service("application-autoscaling").describe_scalable_targets(
        ServiceNamespace=namespace, ResourceIds=[resource_id], ScalableDimension=dimension
    )["ScalableTargets"]
    scheduled = deployed.body["Properties"].get("ScheduledActions", [])
    by_the_hour = [action.get("ScalableTargetAction", {}) for action in scheduled]
    # A bound that an action of the template set since is as wanted, too.
    return targets and {
        key: targets[0][key]
        for key in ("MinCapacity", "MaxCapacity")
        if not any(action.get(key) == targets[0][key] for action in by_the_hour)
    }


def _scaling_policy(deployed: _Deployed) -> Any:
    # arn:...:scalingPolicy:<uuid>:resource/<namespace>/...
    namespace = deployed.physical_id.split(":resource/")[1].split("/")[0]
    policies = deployed.service("application-autoscaling").describe_scaling_policies(
        ServiceNamespace=namespace
    )["ScalingPolicies"]
    return _only([policy for policy in policies if policy["PolicyARN"] == deployed.physical_id])


def _subscription(deployed: _Deployed) -> Any:
    return deployed.service("sns").get_subscription_attributes(SubscriptionArn=deployed.physical_id)[
        "Attributes"
    ]


def _web_acl(deployed: _Deployed) -> bool:
    acl, resource = deployed.physical_id.split("|")
    found = deployed.service("wafv2").get_web_acl_for_resource(ResourceArn=resource)
    return bool(found.get("WebACL", {}).get("ARN") == acl)


# What the service says of a resource: an answer in the template's own words, where it has any; something that
# is true or not; or botocore's ClientError.
_QUESTIONS: dict[str, Callable[[_Deployed], object]] = {
    "AWS::ApiGateway::ApiKey": lambda r: upper_camel(
        r.service("apigateway").get_api_key(apiKey=r.physical_id)
    ),
    "AWS::ApiGateway::BasePathMapping": lambda r: upper_camel(
        r.service("apigateway").get_base_path_mapping(
            domainName=r.id_of("DomainName"), basePath=r.physical_id.partition("|")[2]
        )
    ),
    "AWS::ApiGateway::DomainName": lambda r: upper_camel(
        r.service("apigateway").get_domain_name(domainName=r.physical_id)
    ),
    "AWS::ApiGateway::RestApi": lambda r: r.service("apigateway").get_rest_api(restApiId=r.physical_id),
    "AWS::ApiGateway::Stage": _rest_stage,
    "AWS::ApiGateway::UsagePlan": lambda r: upper_camel(
        r.service("apigateway").get_usage_plan(usagePlanId=r.physical_id)
    ),
    "AWS::ApiGateway::UsagePlanKey": lambda r: r.service("apigateway").get_usage_plan_key(
        usagePlanId=r.id_of("UsagePlanId"), keyId=r.id_of("KeyId")
    ),
    "AWS::ApiGatewayV2::Api": _http_api,
    "AWS::ApiGatewayV2::ApiMapping": lambda r: r.service("apigatewayv2").get_api_mapping(
        ApiMappingId=r.physical_id, DomainName=r.id_of("DomainName")
    ),
    "AWS::ApiGatewayV2::Authorizer": lambda r: r.service("apigatewayv2").get_authorizer(
        ApiId=r.id_of("ApiId"), AuthorizerId=r.physical_id
    ),
    "AWS::ApiGatewayV2::DomainName": lambda r: r.service("apigatewayv2").get_domain_name(
        DomainName=r.physical_id
    ),
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
    "AWS::Budgets::Budget": _budget,
    "AWS::CE::AnomalyMonitor": lambda r: _only(
        r.service("ce").get_anomaly_monitors(MonitorArnList=[r.physical_id])["AnomalyMonitors"]
    ),
    "AWS::CE::AnomalySubscription": lambda r: _only(
        r.service("ce").get_anomaly_subscriptions(SubscriptionArnList=[r.physical_id])["AnomalySubscriptions"]
    ),
    "AWS::CloudWatch::Alarm": lambda r: _only(
        r.service("cloudwatch").describe_alarms(AlarmNames=[r.physical_id])["MetricAlarms"]
    ),
    "AWS::CloudWatch::Dashboard": lambda r: r.service("cloudwatch").get_dashboard(
        DashboardName=r.physical_id
    ),
    "AWS::CodeDeploy::Application": lambda r: r.service("codedeploy").get_application(
        applicationName=r.physical_id
    ),
    "AWS::CodeDeploy::DeploymentGroup": lambda r: upper_camel(
        r.service("codedeploy").get_deployment_group(
            applicationName=r.id_of("ApplicationName"), deploymentGroupName=r.physical_id
        )["deploymentGroupInfo"]
    ),
    "AWS::IAM::Role": _role,
    "AWS::KinesisFirehose::DeliveryStream": _delivery_stream,
    "AWS::Lambda::Alias": _alias,
    "AWS::Lambda::EventInvokeConfig": lambda r: r.service("lambda").get_function_event_invoke_config(
        FunctionName=r.id_of("FunctionName")
    ),
    "AWS::Lambda::Function": _function,
    "AWS::Lambda::Permission": _permission,
    "AWS::Lambda::Version": _version,
    "AWS::Logs::LogGroup": _log_group,
    "AWS::S3::Bucket": lambda r: r.service("s3").head_bucket(Bucket=r.physical_id),
    "AWS::SNS::Subscription": _subscription,
    "AWS::SNS::Topic": lambda r: r.service("sns").get_topic_attributes(TopicArn=r.physical_id),
    "AWS::StepFunctions::StateMachine": lambda r: r.service("stepfunctions").describe_state_machine(
        stateMachineArn=r.physical_id
    ),
    "AWS::WAFv2::WebACLAssociation": _web_acl,
}
