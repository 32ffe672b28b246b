"""A custom resource: how CloudFormation is answered, and what one of them does.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/crpg-ref-requests.html
"""

import contextlib
import json
import urllib.request
from typing import Any

_MAX_REASON = 2000  # CloudFormation cuts longer answers off, at 4096 bytes in all


def answer(event: dict[str, Any], physical_id: str, problem: str | None) -> None:
    """Tell CloudFormation that the resource is there (or gone), or what the problem is."""
    body = {
        "Status": "FAILED" if problem else "SUCCESS",
        "Reason": (problem or "")[:_MAX_REASON],
        "PhysicalResourceId": physical_id,
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
    }
    request = urllib.request.Request(  # noqa: S310 - CloudFormation's own URL, signed by it
        event["ResponseURL"], json.dumps(body).encode(), {"content-type": ""}, method="PUT"
    )
    with urllib.request.urlopen(request, timeout=30):  # noqa: S310 - as above
        pass


def release(physical_id: str, client: Any) -> None:
    """Take the provisioned concurrency from the version ``NAME:VERSION``, if it has any.

    Nobody else does: when a scalable target is deregistered, Application Auto Scaling leaves what it set.
    """
    function, _, version = physical_id.partition(":")
    if not version:
        return  # an id that CloudFormation made up for a resource that was never there
    # Where the version, or the function, is gone, nothing bills.
    with contextlib.suppress(client.exceptions.ResourceNotFoundException):
        client.delete_provisioned_concurrency_config(FunctionName=function, Qualifier=version)
