"""Every resource type here, registered with moto."""

from collections.abc import Callable

from emulator.cloudformation import backend, termination_protection
from emulator.cloudformation.apigatewayv2_api import Api
from emulator.cloudformation.apigatewayv2_integration import Integration
from emulator.cloudformation.apigatewayv2_route import Route
from emulator.cloudformation.apigatewayv2_stage import Stage
from emulator.cloudformation.applicationautoscaling_scalable_target import ScalableTarget
from emulator.cloudformation.applicationautoscaling_scaling_policy import ScalingPolicy
from emulator.cloudformation.cdk_metadata import CdkMetadata
from emulator.cloudformation.cloudwatch_alarm import Alarm
from emulator.cloudformation.lambda_alias import Alias
from emulator.cloudformation.lambda_function import Function
from emulator.cloudformation.lambda_permission import Permission
from emulator.cloudformation.lambda_version import Version
from emulator.cloudformation.resource import Resource
from emulator.cloudformation.s3_bucket_policy import BucketPolicy
from emulator.cloudformation.sns_subscription import Subscription
from emulator.cloudformation.sns_topic_policy import TopicPolicy

RESOURCE_TYPES: list[type[Resource]] = [
    Alarm,
    Alias,
    Api,
    BucketPolicy,
    CdkMetadata,
    Function,
    Integration,
    Permission,
    Route,
    ScalableTarget,
    ScalingPolicy,
    Stage,
    Subscription,
    TopicPolicy,
    Version,
]


def register(after_deployment: Callable[[], None]) -> None:
    """Make moto's CloudFormation use them; ``after_deployment`` is called when a stack is complete."""
    backend.install(RESOURCE_TYPES, after_deployment)
    termination_protection.install()
