"""Drift detection, which moto lacks: what ``emulator.audit`` finds changed since the deployment."""

import re
from datetime import UTC, datetime
from typing import Any

from moto.cloudformation.responses import CloudFormationResponse
from moto.core.responses import ActionResult

from emulator.audit import compare
from emulator.clients import client

_CHANGED = re.compile(r"(\w+) \(([\w:]+)\) is in the stack, but not as the template says")


def _detect(self: CloudFormationResponse) -> ActionResult:
    """DetectStackDrift: done at once, so its id can be the stack's."""
    stack = self.cloudformation_backend.get_stack(self._get_param("StackName"))
    return ActionResult({"StackDriftDetectionId": stack.stack_id})


def _status(self: CloudFormationResponse) -> ActionResult:
    """DescribeStackDriftDetectionStatus."""
    stack = self.cloudformation_backend.get_stack(self._get_param("StackDriftDetectionId"))
    drifts = _drifts_of(stack, self.region)
    return ActionResult(
        {
            "StackId": stack.stack_id,
            "StackDriftDetectionId": stack.stack_id,
            "DetectionStatus": "DETECTION_COMPLETE",
            "StackDriftStatus": "DRIFTED" if drifts else "IN_SYNC",
            "DriftedStackResourceCount": len(drifts),
            "Timestamp": datetime.now(UTC),
        }
    )


def _describe(self: CloudFormationResponse) -> ActionResult:
    """DescribeStackResourceDrifts: those that changed; which property did is not told."""
    stack = self.cloudformation_backend.get_stack(self._get_param("StackName"))
    return ActionResult({"StackResourceDrifts": _drifts_of(stack, self.region)})


def _drifts_of(stack: Any, region: str) -> list[dict[str, Any]]:
    problems = compare(stack.name, stack.template_dict, client("cloudformation", region))
    return [
        {
            "StackId": stack.stack_id,
            "LogicalResourceId": found[1],
            "ResourceType": found[2],
            "StackResourceDriftStatus": "MODIFIED",
            "PropertyDifferences": [],
            "Timestamp": datetime.now(UTC),
        }
        for problem in problems
        if (found := _CHANGED.match(problem))
    ]


def install() -> None:
    """Add the actions to moto's CloudFormation."""
    response: Any = CloudFormationResponse
    response.detect_stack_drift = _detect
    response.describe_stack_drift_detection_status = _status
    response.describe_stack_resource_drifts = _describe
