"""Small deployed stages in the emulator, without the CDK: what the commands look at, in a second."""

import json
from pathlib import Path
from typing import Any

from emulator import settings
from emulator.clients import client_at
from emulator.images import ImageStore
from emulator.server import Emulator

ECHO = Path(__file__).parents[1] / "emulator" / "echo" / "image"
IMAGE = "operations:1"
BUCKET = "operations-models"


class Account:
    """An emulated account with a registry's bucket and an image that answers everything with 200."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        ImageStore(emulator.state_dir / "images").build(IMAGE, ECHO, ECHO / "Dockerfile", {})
        self.client("s3").create_bucket(Bucket=BUCKET)

    def client(self, service: str) -> Any:
        return client_at(self.emulator.url, service, settings.REGION)

    def deploy(
        self, stack: str, digest: str, *, version: int = 1, extra: dict[str, Any] | None = None
    ) -> None:
        """Create or update a stage's stack; ``extra`` resources come on top of what every stage has."""
        template = json.dumps(template_of(digest, version, extra or {}))
        cloudformation = self.client("cloudformation")
        known = {entry["StackName"] for entry in cloudformation.describe_stacks()["Stacks"]}
        change = cloudformation.update_stack if stack in known else cloudformation.create_stack
        change(StackName=stack, TemplateBody=template)
        status = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"]
        assert status in ("CREATE_COMPLETE", "UPDATE_COMPLETE"), status

    def alias(self, stack: str) -> Any:
        """The stage's alias as it is now."""
        function = self.output(stack, "FunctionName")
        return self.client("lambda").get_alias(FunctionName=function, Name="live")

    def output(self, stack: str, name: str) -> str:
        described = self.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
        return {entry["OutputKey"]: entry["OutputValue"] for entry in described["Outputs"]}[name]


def template_of(digest: str, version: int, extra: dict[str, Any]) -> dict[str, Any]:
    """What a stage's stack has that the commands look at; another digest publishes another version."""
    published = f"Version{digest[:8]}"
    alarm_on = [
        {"Name": "FunctionName", "Value": {"Ref": "Function"}},
        {"Name": "Resource", "Value": {"Fn::Join": ["", [{"Ref": "Function"}, ":live"]]}},
    ]
    resources = {
        "Role": {
            "Type": "AWS::IAM::Role",
            "Properties": {"AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": []}},
        },
        "Logs": {"Type": "AWS::Logs::LogGroup", "Properties": {"RetentionInDays": 30}},
        "Function": {
            "Type": "AWS::Lambda::Function",
            "Properties": {
                "Code": {"ImageUri": IMAGE},
                "PackageType": "Image",
                "MemorySize": 1769,
                "Timeout": 10,
                "Role": {"Fn::GetAtt": ["Role", "Arn"]},
                "Environment": {
                    "Variables": {
                        "COLDPRESS_MODEL": "classifier",
                        "COLDPRESS_VERSION": str(version),
                        "COLDPRESS_DIGEST": digest,
                        "COLDPRESS_BUCKET": BUCKET,
                    }
                },
            },
        },
        published: {
            "Type": "AWS::Lambda::Version",
            "DeletionPolicy": "Retain",
            "Properties": {"FunctionName": {"Ref": "Function"}, "Description": digest},
        },
        "Alias": {
            "Type": "AWS::Lambda::Alias",
            "Properties": {
                "Name": "live",
                "FunctionName": {"Ref": "Function"},
                "FunctionVersion": {"Fn::GetAtt": [published, "Version"]},
            },
        },
        "Errors": {
            "Type": "AWS::CloudWatch::Alarm",
            "Properties": {
                "Namespace": "AWS/Lambda",
                "MetricName": "Errors",
                "Dimensions": alarm_on,
                "Statistic": "Sum",
                "Period": 60,
                "EvaluationPeriods": 1,
                "Threshold": 1,
                "ComparisonOperator": "GreaterThanOrEqualToThreshold",
                "TreatMissingData": "notBreaching",
            },
        },
    }
    outputs = {
        "EndpointUrl": "http://localhost/nowhere",
        "FunctionName": {"Ref": "Function"},
        "AliasArn": {"Ref": "Alias"},
        "ModelDigest": digest,
    }
    return {
        "Resources": {**resources, **extra},
        "Outputs": {name: {"Value": value} for name, value in outputs.items()},
    }


def with_another_model(template: dict[str, Any], digest: str) -> dict[str, Any]:
    """The same stage with a second model ``other``, as the outputs of several models are called."""
    published = f"Version{digest[:8]}"
    copied = {name: template["Resources"][name] for name in ("Function", "Alias", published)}
    text = json.dumps(copied).replace('"classifier"', '"other"')
    for name in copied:
        text = text.replace(f'"{name}"', f'"Other{name}"')
    outputs = template["Outputs"]
    for name in ("FunctionName", "AliasArn", "ModelDigest"):
        mine = outputs[name]["Value"]
        theirs = {"Ref": f"Other{mine['Ref']}"} if isinstance(mine, dict) else mine
        outputs |= {f"Classifier{name}": {"Value": mine}, f"Other{name}": {"Value": theirs}}
    return {"Resources": template["Resources"] | json.loads(text), "Outputs": outputs}
