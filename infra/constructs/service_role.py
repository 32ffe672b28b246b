"""What a service of AWS may do in a function's or a state machine's name."""

from collections.abc import Mapping

from aws_cdk import aws_iam as iam
from constructs import Construct


class ServiceRole(iam.Role):
    """A role with its rights within itself.

    CDK makes a resource of its own for what a role may do, and a template takes 500 resources.
    """

    def __init__(self, scope: Construct, construct_id: str, *, service: str, description: str) -> None:
        self._rights = iam.PolicyDocument()
        super().__init__(
            scope,
            construct_id,
            description=description,
            assumed_by=iam.ServicePrincipal(f"{service}.amazonaws.com"),
            inline_policies={"Rights": self._rights},
        )

    def allow(
        self, *actions: str, on: list[str], where: Mapping[str, Mapping[str, object]] | None = None
    ) -> None:
        """Let it do ``actions`` on the resources with the ARNs ``on``, under the conditions ``where``."""
        self._rights.add_statements(
            iam.PolicyStatement(actions=[*actions], resources=on, conditions=where or {})
        )
