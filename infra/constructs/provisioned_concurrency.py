"""Environments that are kept initialised, and how many."""

from aws_cdk import CustomResource, Duration, Stack, TimeZone
from aws_cdk import aws_applicationautoscaling as autoscaling
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.config import ProvisionedConcurrency
from infra.constructs.model_check import ModelCheck

_ROLE = "AWSServiceRoleForApplicationAutoScaling_LambdaConcurrency"


class ProvisionedCapacity(Construct):
    """Target tracking on the published version; the scalable target's minimum alone owns the number.

    Why on the version, and why nothing in the template states a number that CloudFormation waits for:
    docs/decisions/0001-provisioned-concurrency.md.

    A scalable target leaves what it set when it goes. So a custom resource goes after it, whose deletion
    takes the provisioned concurrency from that version: when the next one has taken over, when a deployment
    is rolled back, when the configuration no longer asks for any, and with the stack.
    """

    def __init__(  # noqa: PLR0913 - keyword-only
        self,
        scope: Construct,
        construct_id: str,
        *,
        function: lambda_.Function,
        alias: lambda_.Alias,
        check: ModelCheck,
        limits: ProvisionedConcurrency,
    ) -> None:
        super().__init__(scope, construct_id)
        self._function_name = function.function_name
        self._version = function.current_version.version
        self.release = self._build_release(check)
        self.target = self._build_target(limits)
        self.target.node.add_dependency(self.release)
        self._build_tracking(limits)
        self._build_schedules(limits)
        # What is provisioned is waited for by the check, so it is asked for before.
        check.first.node.add_dependency(self.target)
        alias.node.add_dependency(self.target)

    def _build_release(self, check: ModelCheck) -> CustomResource:
        return CustomResource(
            self,
            "Release",
            resource_type="Custom::ProvisionedConcurrency",
            service_token=check.function.function_arn,
            service_timeout=Duration.minutes(5),
            properties={"FunctionName": self._function_name, "Version": self._version},
        )

    def _build_target(self, limits: ProvisionedConcurrency) -> autoscaling.ScalableTarget:
        role = Stack.of(self).format_arn(
            service="iam",
            region="",
            resource="role/aws-service-role/lambda.application-autoscaling.amazonaws.com",
            resource_name=_ROLE,
        )
        return autoscaling.ScalableTarget(
            self,
            "Target",
            service_namespace=autoscaling.ServiceNamespace.LAMBDA,
            scalable_dimension="lambda:function:ProvisionedConcurrency",
            resource_id=f"function:{self._function_name}:{self._version}",
            min_capacity=limits.min,
            max_capacity=limits.max,
            role=iam.Role.from_role_arn(self, "Role", role),
        )

    def _build_tracking(self, limits: ProvisionedConcurrency) -> None:
        if limits.statistic == "average":
            self.target.scale_to_track_metric(
                "Tracking",
                target_value=limits.target_utilization,
                predefined_metric=autoscaling.PredefinedMetric.LAMBDA_PROVISIONED_CONCURRENCY_UTILIZATION,
            )
            return
        # The average of a minute hides a burst of seconds; the maximum does not.
        self.target.scale_to_track_metric(
            "Tracking",
            target_value=limits.target_utilization,
            custom_metric=cloudwatch.Metric(
                namespace="AWS/Lambda",
                metric_name="ProvisionedConcurrencyUtilization",
                dimensions_map={
                    "FunctionName": self._function_name,
                    "Resource": f"{self._function_name}:{self._version}",
                },
                statistic="Maximum",
                period=Duration.minutes(1),
            ),
        )

    def _build_schedules(self, limits: ProvisionedConcurrency) -> None:
        for number, schedule in enumerate(limits.schedules, 1):
            self.target.scale_on_schedule(
                f"Schedule{number}",
                schedule=autoscaling.Schedule.expression(f"cron({schedule.cron})"),
                time_zone=TimeZone.of(schedule.timezone),
                min_capacity=schedule.min,
                max_capacity=schedule.max,
            )
