"""The model's earlier versions: reached by URLs, kept, and at last deleted."""

from aws_cdk import CustomResource, Duration
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.config import Model
from infra.constructs.model_check import ModelCheck
from infra.constructs.nag import acknowledge_resource


class ReleasedVersions(Construct):
    """Gives each released version an alias, ``v<n>``, and deletes old versions by a rule.

    A custom resource, after the alias ``live`` has moved, because an ``AWS::Lambda::Alias`` could not be made
    where it was kept from an earlier deployment: to deploy an old version again would fail.

    Of the versions stay: the ten newest, the one that was live before, what ``live`` or an alias of somebody
    else's names, and those that URLs reach (handlers/pretraffic/versions.py).
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, alias: lambda_.Alias, check: ModelCheck, model: Model
    ) -> None:
        super().__init__(scope, construct_id)
        self._allow(alias.lambda_, check.policy)
        self.release = CustomResource(
            self,
            "Release",
            resource_type="Custom::ModelVersion",
            service_token=check.function.function_arn,
            service_timeout=Duration.minutes(5),
            properties={
                "FunctionName": alias.lambda_.function_name,
                "Version": alias.version.version,
                "ModelVersion": str(model.version),
                "Kept": [str(version) for version in model.earlier],
            },
        )
        self.release.node.add_dependency(alias)

    def _allow(self, function: lambda_.IFunction, policy: iam.Policy) -> None:
        versions = f"{function.function_arn}:*"
        policy.add_statements(
            iam.PolicyStatement(
                actions=[
                    "lambda:CreateAlias",
                    "lambda:DeleteAlias",
                    "lambda:ListAliases",
                    "lambda:ListVersionsByFunction",
                    "lambda:UpdateAlias",
                ],
                resources=[function.function_arn],
            ),
            # Without a colon after its name, the function itself cannot be deleted by this.
            iam.PolicyStatement(actions=["lambda:DeleteFunction"], resources=[versions]),
        )
        acknowledge_resource(policy, versions, "Which versions are old is only known when they are.")


def released(scope: Construct, alias: lambda_.Alias, version: int) -> lambda_.IFunction:
    """What a route integrates to reach an earlier version."""
    return lambda_.Function.from_function_attributes(
        scope,
        f"{alias.node.path} v{version}".replace("/", " "),
        function_arn=f"{alias.lambda_.function_arn}:v{version}",
        same_environment=True,
    )
