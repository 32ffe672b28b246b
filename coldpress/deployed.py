"""What a stage's stack holds, as AWS tells it now: the alias, the versions, and what stands around them."""

import argparse
import json
import re
import sys
from collections.abc import Mapping
from functools import cached_property
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from bundle.registry import Pushed
from coldpress import aws
from coldpress.errors import CommandError

_RUNNING = ("Created", "Queued", "InProgress", "Ready")
# Lambda's own code, and what a server says that does not know the call.
_NO_PROVISIONED = ("ProvisionedConcurrencyConfigNotFoundException", "ResourceNotFoundException", "404")
_ASLEEP = ("ResourceNotReadyException", "ResourceConflictException")
_ALARMS_A_CALL = 100
_RECENT = 25
# In a deployment's AppSpec, which is JSON or YAML, and here escaped in JSON.
_CURRENT, _TARGET = re.compile(r"CurrentVersion\W+(\d+)"), re.compile(r"TargetVersion\W+(\d+)")


class Version(NamedTuple):
    """A published version: an image with the model that its environment names."""

    number: int
    model: str
    model_version: str
    digest: str
    bucket: str
    memory_mb: int
    architecture: str
    state: str

    @property
    def pushed(self) -> Pushed:
        """What the registry knows of its model."""
        number = int(self.model_version) if self.model_version.isdecimal() else 1
        return Pushed(self.model, self.digest, number, created=False)


class Provisioned(NamedTuple):
    """Environments that are kept initialised for an alias or a version."""

    qualifier: str
    requested: int
    available: int
    status: str
    reason: str


class Rollout(NamedTuple):
    """CodeDeploy's last deployment of the stage."""

    id: str
    status: str
    created: str
    why: str

    @property
    def is_running(self) -> bool:
        """Whether CodeDeploy moves traffic now, or is about to."""
        return self.status in _RUNNING


class Deployed:
    """One model of a deployed stage. What every command asks is read at once; the rest when it is asked for.

    Args:
        description: the stack, as DescribeStacks has it.
        prefix: what the model's outputs begin with; empty where the stage has one model.
    """

    def __init__(self, description: Any, prefix: str = "") -> None:
        self.description = description
        self.stack: str = description["StackName"]
        self._outputs, self._prefix = aws.outputs(description), prefix
        self.url = self._outputs.get("EndpointUrl", "")
        self.digest_output = f"{prefix}ModelDigest"
        self.deployed_digest = self.output("ModelDigest")
        self._alias_arn = self.output("AliasArn")
        self.function, self.alias_name = self._alias_arn.split(":")[6:8]
        self._lambda = aws.client("lambda")
        self.resources = self._resources()
        self.alias = self._alias()
        self.versions = self._versions()

    def output(self, name: str) -> str:
        """What the stack puts out for this model; empty where it does not."""
        return self._outputs.get(f"{self._prefix}{name}", "")

    @property
    def serving(self) -> Version:
        """The version that the alias names; during a canary, the old one."""
        return self.version(int(self.alias["FunctionVersion"]))

    @property
    def canary(self) -> tuple[Version, float] | None:
        """The other version that gets a share of the requests, and its share."""
        weights = (self.alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
        for number, share in weights.items():
            return self.version(int(number)), float(share)
        return None

    def version(self, number: int) -> Version:
        """A retained version by its number."""
        for version in self.versions:
            if version.number == number:
                return version
        kept = ", ".join(str(version.number) for version in self.versions)
        raise CommandError(f"{self.function} has no version {number}: it has {kept or 'none'}.")

    def physical_ids(self, kind: str) -> list[str]:
        """What CloudFormation calls the stack's resources of a type in their service."""
        return [entry["PhysicalResourceId"] for entry in self.resources if entry["ResourceType"] == kind]

    @cached_property
    def template(self) -> dict[str, Any]:
        """What was deployed last."""
        client = aws.client("cloudformation")
        found: dict[str, Any] = client.get_template(StackName=self.stack)["TemplateBody"]
        return found

    @property
    def update_policy(self) -> dict[str, Any]:
        """How CodeDeploy moves the alias, as the template says; empty where it does not."""
        for entry in self.resources:
            if entry["PhysicalResourceId"] == self._alias_arn:
                alias = self.template["Resources"][entry["LogicalResourceId"]]
                found: dict[str, Any] = alias.get("UpdatePolicy", {}).get("CodeDeployLambdaAliasUpdate", {})
                return found
        return {}

    def move_alias(self, version: Version) -> None:
        """Give all requests to ``version``, if the alias still is as it was read; say so."""
        try:
            self.alias = self._lambda.update_alias(
                FunctionName=self.function,
                Name=self.alias_name,
                FunctionVersion=str(version.number),
                RoutingConfig={"AdditionalVersionWeights": {}},
                RevisionId=self.alias["RevisionId"],
            )
        except ClientError as error:
            if aws.error_code(error) != "PreconditionFailedException":
                raise
            raise CommandError(
                f"the alias '{self.alias_name}' was moved by somebody else meanwhile: look at "
                f"`coldpress status {self.stack}`, and decide anew."
            ) from None
        sys.stdout.write(
            f"{self.alias_name} -> version {version.number}: {version.model} version "
            f"{version.model_version}, digest {version.digest}\n"
        )

    def invoke(self, version: Version, event: Mapping[str, Any]) -> Any:
        """Answer an event of API Gateway by a version itself; the alias and its traffic are not touched.

        A version that nobody asked for weeks is inactive: it is woken, which takes a while.

        Raises:
            CommandError: the version does not answer; the sentence has what Lambda says.
        """
        where = {"FunctionName": self.function, "Qualifier": str(version.number)}
        payload = json.dumps(event).encode()
        try:
            answer = self._lambda.invoke(**where, Payload=payload)
        except ClientError as error:
            if aws.error_code(error) not in _ASLEEP:
                raise
            self._lambda.get_waiter("function_active_v2").wait(**where)
            answer = self._lambda.invoke(**where, Payload=payload)
        content = json.load(answer["Payload"])
        if "FunctionError" in answer:
            raise CommandError(
                f"version {version.number} of {self.function} fails ({content.get('errorMessage')}): "
                "look at the function's log."
            )
        return content

    def provisioned(self) -> list[Provisioned]:
        """What is kept initialised, and billed, for the alias and for every version."""
        try:
            pages = self._lambda.get_paginator("list_provisioned_concurrency_configs").paginate(
                FunctionName=self.function
            )
            configs = [config for page in pages for config in page["ProvisionedConcurrencyConfigs"]]
        except ClientError as error:
            if aws.error_code(error) not in _NO_PROVISIONED:
                raise
            return []
        return [
            Provisioned(
                qualifier=config["FunctionArn"].rpartition(":")[2],
                requested=config["RequestedProvisionedConcurrentExecutions"],
                available=config.get("AvailableProvisionedConcurrentExecutions", 0),
                status=config["Status"],
                reason=config.get("StatusReason", ""),
            )
            for config in configs
        ]

    def alarms(self) -> list[Any]:
        """The stack's alarms, as DescribeAlarms has them."""
        names = self.physical_ids("AWS::CloudWatch::Alarm") + self.physical_ids(
            "AWS::CloudWatch::CompositeAlarm"
        )
        client = aws.client("cloudwatch")
        found: list[Any] = []
        for start in range(0, len(names), _ALARMS_A_CALL):
            answer = client.describe_alarms(
                AlarmNames=names[start : start + _ALARMS_A_CALL],
                AlarmTypes=["MetricAlarm", "CompositeAlarm"],
            )
            found += answer.get("MetricAlarms", []) + answer.get("CompositeAlarms", [])
        return found

    def rollout(self) -> Rollout | None:
        """CodeDeploy's last deployment; None where there was none yet."""
        deployments = self._deployments()
        if not deployments:
            return None
        last = deployments[0]
        error = last.get("errorInformation") or {}
        return Rollout(
            last["deploymentId"], last["status"], str(last["createTime"]), str(error.get("message") or "")
        )

    def predecessor(self) -> Version | None:
        """The retained version that served before this one.

        Which is not always the one before by its number: a version that was stopped by the check or taken
        back by an alarm is retained as well, and never served.
        """
        kept = {version.number: version for version in self.versions}
        for deployment in self._deployments():
            revision = json.dumps(deployment.get("revision", {}), default=str)
            current, target = _CURRENT.search(revision), _TARGET.search(revision)
            if deployment["status"] != "Succeeded" or current is None or target is None:
                continue
            if int(target[1]) == self.serving.number:
                return kept.get(int(current[1]))
        if self.update_policy:
            return None  # the first version, or one that serves after a rollback by hand
        older = [
            version
            for version in self.versions
            if version.number < self.serving.number and version.digest != self.serving.digest
        ]
        return older[0] if older else None

    def _deployments(self) -> list[Any]:
        """CodeDeploy's deployments of this model, newest first; none where CloudFormation moves the alias."""
        update = self.update_policy
        if not update:
            return []
        client = aws.client("codedeploy")
        ids = client.list_deployments(
            applicationName=self._physical_id(update["ApplicationName"]),
            deploymentGroupName=self._physical_id(update["DeploymentGroupName"]),
        )["deployments"]
        infos = [client.get_deployment(deploymentId=found)["deploymentInfo"] for found in ids[:_RECENT]]
        return sorted(infos, key=lambda info: info["createTime"], reverse=True)

    def _physical_id(self, reference: Any) -> str:
        """What a template's ``Ref`` to a resource is called in its service."""
        for entry in self.resources:
            if entry["LogicalResourceId"] == reference["Ref"]:
                return str(entry["PhysicalResourceId"])
        raise CommandError(f"stack '{self.stack}' has lost {reference['Ref']}: deploy it again.")

    def _resources(self) -> list[Any]:
        pages = aws.client("cloudformation").get_paginator("list_stack_resources")
        return [
            entry
            for page in pages.paginate(StackName=self.stack)
            for entry in page["StackResourceSummaries"]
            if entry.get("PhysicalResourceId")
        ]

    def _alias(self) -> Any:
        try:
            return self._lambda.get_alias(FunctionName=self.function, Name=self.alias_name)
        except ClientError as error:
            if aws.error_code(error) != "ResourceNotFoundException":
                raise
            raise CommandError(
                f"the alias '{self.alias_name}' of {self.function} is gone, so nothing is served: "
                f"deploy again with `cdk deploy {self.stack}`."
            ) from None

    def _versions(self) -> list[Version]:
        """The retained versions, newest first."""
        pages = self._lambda.get_paginator("list_versions_by_function").paginate(FunctionName=self.function)
        found = [_version(entry) for page in pages for entry in page["Versions"] if _is_number(entry)]
        return sorted(found, reverse=True)


def add_stack_argument(parser: argparse.ArgumentParser) -> None:
    """Declare which stage a subcommand is about."""
    parser.add_argument("stack", metavar="STACK", help="the stage's stack, such as coldpress-dev")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare which stage, and which of its models, a subcommand is about."""
    add_stack_argument(parser)
    parser.add_argument("--model", metavar="NAME", help="which model, where the stage has several")


def open_stage(stack: str, model: str | None) -> list[Deployed]:
    """Every model of a stage, or the one of that name.

    Raises:
        CommandError: there is no such stack, or it serves no such model.
    """
    description = aws.describe_stack(stack)
    prefixes = [key.removesuffix("AliasArn") for key in aws.outputs(description) if key.endswith("AliasArn")]
    if len(prefixes) > 1:
        prefixes.remove("")  # the first of several models has its outputs twice
    if not prefixes:
        raise CommandError(
            f"stack '{stack}' serves no model (it has no output AliasArn): name the stack of a stage, "
            "such as coldpress-dev."
        )
    found = [Deployed(description, prefix) for prefix in prefixes]
    chosen = [one for one in found if model in (None, one.serving.model)]
    if not chosen:
        known = ", ".join(one.serving.model for one in found)
        raise CommandError(f"stack '{stack}' serves no model '{model}': it has {known}.")
    return chosen


def open_one(stack: str, model: str | None) -> Deployed:
    """The stage's model of that name, which a stage with one model need not be told.

    Raises:
        CommandError: as ``open_stage``, or several could be meant.
    """
    first, *others = open_stage(stack, model)
    if others:
        known = ", ".join(one.serving.model for one in (first, *others))
        raise CommandError(f"stack '{stack}' serves several models: name one with --model ({known}).")
    return first


def _is_number(entry: Any) -> bool:
    return str(entry["Version"]).isdecimal()


def _version(entry: Any) -> Version:
    variables = entry.get("Environment", {}).get("Variables", {})
    return Version(
        number=int(entry["Version"]),
        model=variables.get("COLDPRESS_MODEL", ""),
        model_version=variables.get("COLDPRESS_VERSION", "1"),
        digest=variables.get("COLDPRESS_DIGEST", ""),
        bucket=variables.get("COLDPRESS_BUCKET", ""),
        memory_mb=int(entry["MemorySize"]),
        architecture=entry.get("Architectures", ["x86_64"])[0],
        state=entry.get("State") or "Active",
    )
