"""Acknowledging a finding of cdk-nag, with its reason."""

from typing import Any

from aws_cdk import Acknowledgment, Stack, Validations
from constructs import Construct


def acknowledge(construct: Construct, rule: str, reason: str) -> None:
    """Accept the finding of ``rule`` (such as ``AwsSolutions-S1``) on ``construct`` and what it contains."""
    pack = rule.partition("-")[0]
    Validations.of(construct).acknowledge(Acknowledgment(id=f"{pack}::{rule}", reason=reason))


def acknowledge_resource(construct: Construct, arn: str, reason: str) -> None:
    """Accept a policy of ``construct`` whose resource ``arn`` holds a wildcard, and no other wildcard."""
    resource = _flatten(Stack.of(construct).resolve(arn))
    acknowledge(construct, f"AwsSolutions-IAM5[Resource::{resource}]", reason)


def _flatten(reference: Any) -> str:
    """What cdk-nag calls a CloudFormation reference: ``<Bucket.Arn>/models/*``."""
    match reference:
        case {"Fn::Join": [delimiter, [*parts]]}:
            return str(delimiter).join(_flatten(part) for part in parts)
        case {"Fn::GetAtt": [resource, attribute]}:
            return f"<{resource}.{attribute}>"
        case {"Fn::ImportValue": name}:
            return _flatten(name)
        case {"Ref": name}:
            return f"<{name}>"
        case _:
            return str(reference)
