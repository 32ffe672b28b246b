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

from handlers.pretraffic import resources
from handlers.pretraffic.check import Check, Failed, settings_from

CHECK_TYPE = "Custom::ModelCheck"
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
    asked, properties = event["RequestType"], event["ResourceProperties"]
    if event["ResourceType"] == CHECK_TYPE:
        # Later versions are CodeDeploy's matter. And an update must not fail: a rollback would have to pass
        # it as well, and where it did not, the stack would be stuck.
        resources.answer(event, "checked", _problem() if asked == "Create" else None)
        return
    physical_id = f"{properties['FunctionName']}:{properties['Version']}"
    problem = None
    if asked == "Delete":
        physical_id = event["PhysicalResourceId"]
        try:
            resources.release(physical_id, _client("lambda"))
        except Exception as error:  # noqa: BLE001 - CloudFormation waits for an answer, whatever happens
            problem = f"provisioned concurrency of {physical_id} could not be removed: {error}"
    resources.answer(event, physical_id, problem)


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
