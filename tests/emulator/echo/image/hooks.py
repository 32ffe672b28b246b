"""A function that CodeDeploy, CloudFormation and schedules call; what it answers stands in its variables."""

import json
import os
import urllib.request

import boto3


def handler(event, context):
    if "DeploymentId" in event:
        _report(event)
    elif event.get("source") == "aws.events":
        print(json.dumps(event))
        if event.get("fails"):
            raise ValueError("as asked")
    else:
        _respond(event)


def _report(event):
    if os.environ.get("HOOK") == "silent":
        return
    boto3.client("codedeploy").put_lifecycle_event_hook_execution_status(
        deploymentId=event["DeploymentId"],
        lifecycleEventHookExecutionId=event["LifecycleEventHookExecutionId"],
        status=os.environ.get("HOOK", "Succeeded"),
    )


def _respond(event):
    """What was asked goes back as an attribute; the resource's id is the property Id."""
    properties = event["ResourceProperties"]
    print(json.dumps({"seen": event["RequestType"], "id": event.get("PhysicalResourceId")}))
    if properties.get("Silent") == "true":
        return
    fails = event["RequestType"] in properties.get("Fails", [])
    answer = {
        "Status": "FAILED" if fails else "SUCCESS",
        "Reason": "as asked",
        "PhysicalResourceId": properties["Id"]
        if event["RequestType"] != "Delete"
        else event["PhysicalResourceId"],
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
        "Data": {"Asked": json.dumps(event)},
    }
    request = urllib.request.Request(
        event["ResponseURL"], json.dumps(answer).encode(), {"content-type": ""}, method="PUT"
    )
    with urllib.request.urlopen(request):
        pass
