"""Every resource type here, registered with moto."""

from collections.abc import Callable

from emulator import cost_explorer
from emulator.cloudformation import backend, drift, termination_protection
from emulator.cloudformation.apigateway_account import Account
from emulator.cloudformation.apigateway_api_key import ApiKey
from emulator.cloudformation.apigateway_base_path_mapping import BasePathMapping
from emulator.cloudformation.apigateway_deployment import RestDeployment
from emulator.cloudformation.apigateway_domain_name import RestDomainName
from emulator.cloudformation.apigateway_rest_api import RestApi
from emulator.cloudformation.apigateway_stage import RestStage
from emulator.cloudformation.apigateway_usage_plan import UsagePlan
from emulator.cloudformation.apigateway_usage_plan_key import UsagePlanKey
from emulator.cloudformation.apigatewayv2_api import Api
from emulator.cloudformation.apigatewayv2_api_mapping import ApiMapping
from emulator.cloudformation.apigatewayv2_authorizer import Authorizer
from emulator.cloudformation.apigatewayv2_domain_name import DomainName
from emulator.cloudformation.apigatewayv2_integration import Integration
from emulator.cloudformation.apigatewayv2_route import Route
from emulator.cloudformation.apigatewayv2_stage import Stage
from emulator.cloudformation.applicationautoscaling_scalable_target import ScalableTarget
from emulator.cloudformation.applicationautoscaling_scaling_policy import ScalingPolicy
from emulator.cloudformation.budgets_budget import Budget
from emulator.cloudformation.cdk_metadata import CdkMetadata
from emulator.cloudformation.ce_anomaly_monitor import AnomalyMonitor
from emulator.cloudformation.ce_anomaly_subscription import AnomalySubscription
from emulator.cloudformation.cloudwatch_alarm import Alarm
from emulator.cloudformation.codedeploy_application import Application
from emulator.cloudformation.codedeploy_deployment_config import DeploymentConfig
from emulator.cloudformation.codedeploy_deployment_group import DeploymentGroup
from emulator.cloudformation.custom_resource import CustomResource
from emulator.cloudformation.firehose_delivery_stream import DeliveryStream
from emulator.cloudformation.iam_role import Role
from emulator.cloudformation.lambda_alias import Alias
from emulator.cloudformation.lambda_event_invoke_config import EventInvokeConfig
from emulator.cloudformation.lambda_function import Function
from emulator.cloudformation.lambda_permission import Permission
from emulator.cloudformation.lambda_version import Version
from emulator.cloudformation.logs_log_group import LogGroup
from emulator.cloudformation.resource import Resource
from emulator.cloudformation.s3_bucket import Bucket
from emulator.cloudformation.s3_bucket_policy import BucketPolicy
from emulator.cloudformation.sns_subscription import Subscription
from emulator.cloudformation.sns_topic import Topic
from emulator.cloudformation.sns_topic_policy import TopicPolicy
from emulator.cloudformation.stepfunctions_state_machine import StateMachine
from emulator.cloudformation.wafv2_web_acl_association import WebAclAssociation

RESOURCE_TYPES: list[type[Resource]] = [
    Account,
    Alarm,
    Alias,
    AnomalyMonitor,
    AnomalySubscription,
    Api,
    ApiKey,
    ApiMapping,
    Application,
    Authorizer,
    BasePathMapping,
    Bucket,
    BucketPolicy,
    Budget,
    CdkMetadata,
    CustomResource,
    DeliveryStream,
    DeploymentConfig,
    DeploymentGroup,
    DomainName,
    EventInvokeConfig,
    Function,
    Integration,
    LogGroup,
    Permission,
    RestApi,
    RestDeployment,
    RestDomainName,
    RestStage,
    Role,
    Route,
    ScalableTarget,
    ScalingPolicy,
    Stage,
    StateMachine,
    Subscription,
    Topic,
    TopicPolicy,
    UsagePlan,
    UsagePlanKey,
    Version,
    WebAclAssociation,
]


def register(after_deployment: Callable[[], None]) -> None:
    """Make moto's CloudFormation use them; ``after_deployment`` is called when a stack is complete."""
    backend.install(RESOURCE_TYPES, after_deployment)
    cost_explorer.install()
    drift.install()
    termination_protection.install()
