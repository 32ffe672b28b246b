"""UpdateTerminationProtection: moto lacks it, and the CDK CLI calls it for stacks that ask for protection."""

from typing import Any

from moto.cloudformation.responses import CloudFormationResponse
from moto.core.responses import ActionResult


def _update_termination_protection(self: CloudFormationResponse) -> ActionResult:
    stack = self.cloudformation_backend.get_stack(self._get_param("StackName"))
    stack.enable_termination_protection = bool(self._get_bool_param("EnableTerminationProtection"))
    return ActionResult({"StackId": stack.stack_id})


def install() -> None:
    """Add the action to moto's CloudFormation."""
    response: Any = CloudFormationResponse
    response.update_termination_protection = _update_termination_protection
