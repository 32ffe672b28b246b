"""From the version that serves to the next one, and back when an alarm says so."""

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_codedeploy as codedeploy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.config import Rollout
from infra.constructs.model_check import Checker, ModelCheck
from infra.constructs.nag import acknowledge, acknowledge_resource

_POLICY = "service-role/AWSCodeDeployRoleForLambdaLimited"


class RolloutService(Construct):
    """What several models' rollouts share: CodeDeploy's application and role, and the checker."""

    def __init__(
        self, scope: Construct, construct_id: str, *, retention_days: int, key: kms.IKey | None = None
    ) -> None:
        super().__init__(scope, construct_id)
        self.checker = Checker(self, "Checker", retention_days=retention_days, key=key)
        self.application = codedeploy.LambdaApplication(self, "Application")
        self.role = iam.Role(
            self,
            "Role",
            description="coldpress: CodeDeploy, which moves aliases and invokes checks",
            assumed_by=iam.ServicePrincipal("codedeploy.amazonaws.com"),
        )
        acknowledge(
            self.role,
            f"AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/{_POLICY}]",
            "AWS's own policy for this service: it moves aliases and reads alarms. CDK attaches it, and what "
            "CodeDeploy needs may change with CodeDeploy.",
        )


class VersionRollout(Construct):
    """CodeDeploy moves the alias: after the check, all at once or in steps, back at an alarm.

    CloudFormation starts the deployment where the alias's version changes, waits for it, and rolls the stack
    back if it fails. ``all_at_once`` is CodeDeploy's as well, because the check runs before it.

    Args:
        service: shared with other models.
        alias: what is moved.
        check: runs before any traffic; the alias waits for it when the stack is made.
        alarms: of the new version; any of them ends the deployment and moves the alias back.
        rollout: in which steps.
    """

    def __init__(  # noqa: PLR0913 - keyword-only
        self,
        scope: Construct,
        construct_id: str,
        *,
        service: RolloutService,
        alias: lambda_.Alias,
        check: ModelCheck,
        alarms: list[cloudwatch.Alarm],
        rollout: Rollout,
    ) -> None:
        super().__init__(scope, construct_id)
        self.group = codedeploy.LambdaDeploymentGroup(
            self,
            "Group",
            application=service.application,
            role=service.role,
            alias=alias,
            alarms=alarms,
            auto_rollback=codedeploy.AutoRollbackConfig(
                failed_deployment=True, stopped_deployment=True, deployment_in_alarm=True
            ),
            deployment_config=self._build_steps(rollout),
            pre_hook=check.function,
        )
        acknowledge_resource(
            service.role,
            f"{check.function.function_arn}:*",
            "CodeDeploy may invoke the check, by any of its versions: CDK grants it so.",
        )
        # What a deployment needs is there before the alias moves: by the alias's update policy the group, and
        # with it the alarms; the policy by which CodeDeploy invokes the check; and the first version's check.
        alias.node.add_dependency(service.role, check.first)

    def _build_steps(self, rollout: Rollout) -> codedeploy.ILambdaDeploymentConfig:
        if rollout.type == "all_at_once":
            return codedeploy.LambdaDeploymentConfig.ALL_AT_ONCE
        routing = {
            "canary": codedeploy.TimeBasedCanaryTrafficRouting,
            "linear": codedeploy.TimeBasedLinearTrafficRouting,
        }[rollout.type]
        return codedeploy.LambdaDeploymentConfig(
            self,
            "Steps",
            traffic_routing=routing(interval=Duration.minutes(rollout.minutes), percentage=rollout.percent),
        )
