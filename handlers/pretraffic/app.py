"""Lambda's entry, for AWS's runtime client: ``handlers.pretraffic.app.handler``.

CodeDeploy asks before it shifts traffic to a new version, and CloudFormation, by custom resources, for the
first version, which has no predecessor and so no deployment of CodeDeploy.
"""

import json
import os
import sys
from typing import Any

import boto3
from botocore.config import Config

from handlers.pretraffic import resources, versions
from handlers.pretraffic.check import Check, Failed, settings_from

# A first answer may take as long as an init and a timeout; refusals for want of concurrency pass.
_CONFIG = Config(read_timeout=120, retries={"mode": "standard", "total_max_attempts": 8})


def handler(event: dict[str, Any], _context: object) -> None:
    """Check the version that the environment names, and tell whoever asks.

    Raises:
        KeyError: nobody that is known asks.
    """
    if "ResourceType" in event:
        _answer_cloudformation(event)
        return
    problem = _problem()
    _client("codedeploy").put_lifecycle_event_hook_execution_status(
        deploymentId=event["DeploymentId"],
        lifecycleEventHookExecutionId=event["LifecycleEventHookExecutionId"],
        status="Failed" if problem else "Succeeded",
    )


def _answer_cloudformation(event: dict[str, Any]) -> None:
    physical_id, problem = _RESOURCES[event["ResourceType"]](event)
    resources.answer(event, physical_id, problem)


def _first_check(event: dict[str, Any]) -> tuple[str, str | None]:
    """Later versions are CodeDeploy's matter.

    And an update must not fail: a rollback would have to pass it as well, and where it did not, the stack
    would be stuck.
    """
    return "checked", _problem() if event["RequestType"] == "Create" else None


def _provisioned_concurrency(event: dict[str, Any]) -> tuple[str, str | None]:
    """There is nothing to do but at the end: the scalable target provisions, and takes nothing back."""
    properties = event["ResourceProperties"]
    if event["RequestType"] != "Delete":
        return f"{properties['FunctionName']}:{properties['Version']}", None
    physical_id = event["PhysicalResourceId"]
    try:
        resources.release(physical_id, _client("lambda"))
    except Exception as error:  # noqa: BLE001 - CloudFormation waits for an answer, whatever happens
        return physical_id, f"provisioned concurrency of {physical_id} could not be removed: {error}"
    return physical_id, None


def _release(event: dict[str, Any]) -> tuple[str, str | None]:
    """An alias for the version that was released; old versions go. Its aliases go with the function."""
    properties, old = event["ResourceProperties"], event.get("OldResourceProperties", {})
    function, alias = properties["FunctionName"], versions.alias_of(properties["ModelVersion"])
    if event["RequestType"] == "Delete":
        return event["PhysicalResourceId"], None
    client = _client("lambda")
    try:
        versions.point(client, function, alias, properties["Version"])
    except Exception as error:  # noqa: BLE001 - as above
        return function, f"the alias {alias} could not be moved to version {properties['Version']}: {error}"
    try:
        kept = {alias, *map(versions.alias_of, properties.get("Kept", []))}
        gone = versions.prune(client, function, previous=old.get("Version"), kept=kept)
        print(json.dumps({"pruned": gone}), file=sys.stderr)  # noqa: T201 - the function's log
    except Exception as error:  # noqa: BLE001 - what stays is tried again the next time, and harms nobody
        print(json.dumps({"not pruned": str(error)}), file=sys.stderr)  # noqa: T201 - as above
    return function, None


_RESOURCES = {
    "Custom::ModelCheck": _first_check,
    "Custom::ProvisionedConcurrency": _provisioned_concurrency,
    "Custom::ModelVersion": _release,
}


def _problem() -> str | None:
    """Why the version must not serve; None: it may. What was seen is in the log, as one line of JSON."""
    problem, record = None, {}
    try:
        check = Check(settings_from(os.environ), _client("s3"), _client("lambda"))
        record = check.record
        check.run()
    except Failed as failed:
        problem = str(failed)
    except Exception as error:  # noqa: BLE001 - a version that could not be checked does not serve
        problem = f"the version could not be checked: {type(error).__name__}: {error}"
    print(json.dumps(record | {"problem": problem}), file=sys.stderr)  # noqa: T201 - the function's log
    return problem


def _client(service: str) -> Any:
    make: Any = boto3.client  # what it makes is only known at run time
    return make(service, config=_CONFIG)
