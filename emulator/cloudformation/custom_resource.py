"""AWS::CloudFormation::CustomResource and Custom::<any name>: resources that a function makes."""

import contextlib
import json
import uuid
from typing import Any, Self

from emulator import settings
from emulator.clients import client
from emulator.cloudformation.resource import Properties, Resource

_RESPONSES: dict[str, Properties] = {}  # by request, until they are read


class CustomResource(Resource):
    """Made by the function that ServiceToken names, which puts its answer to ResponseURL as in AWS.

    Unlike AWS, which waits for up to an hour, the answer must be there when the invocation ends: whoever
    answers later, from another function, is told so.
    """

    TYPE = "AWS::CloudFormation::CustomResource"
    identity: Properties  # what every event says of the resource

    @classmethod
    def has_cfn_attr(cls, attr: str) -> bool:  # noqa: ARG003 - only the answer tells
        """Fn::GetAtt takes whatever the function answered."""
        return True

    @classmethod
    def create_from_cloudformation_json(
        cls,
        resource_name: str,
        cloudformation_json: dict[str, Any],
        account_id: str,  # noqa: ARG003 - there is one account
        region_name: str,
        **kwargs: Any,
    ) -> Self:
        """Send Create; what failed is sent Delete as well, as in AWS."""
        resource = cls(resource_name, region_name, cloudformation_json["Properties"])
        resource.identity = {
            "StackId": kwargs["StackId"],
            "LogicalResourceId": kwargs["LogicalId"],
            "ResourceType": kwargs["ResourceType"],
        }
        try:
            resource._send("Create", resource.properties)
        except CustomResourceFailed:
            with contextlib.suppress(CustomResourceFailed):
                resource.remove()
            raise
        return resource

    def update(self, properties: Properties) -> bool:
        """Send Update; the deployment deletes the old one if the answer has another physical id."""
        self._send(
            "Update",
            properties,
            PhysicalResourceId=self.physical_resource_id,
            OldResourceProperties=_strings(self.properties),
        )
        return True

    def remove(self) -> None:
        """Send Delete."""
        self._send("Delete", self.properties, PhysicalResourceId=self.physical_resource_id)

    def _send(self, request_type: str, properties: Properties, **more: Any) -> None:
        request_id = str(uuid.uuid4())
        token: str = properties["ServiceToken"]
        if ":lambda:" not in token:
            raise NotImplementedError(f"The emulator's custom resources are functions: {token} is none.")
        event = {
            "RequestType": request_type,
            "ResponseURL": f"{settings.endpoint()}{settings.CONTROL_PREFIX}responses/{request_id}",
            "RequestId": request_id,
            "ResourceProperties": _strings(properties),
            **self.identity,
            **more,
        }
        invoked = client("lambda", self.region).invoke(FunctionName=token, Payload=json.dumps(event))
        answer = _RESPONSES.pop(request_id, None)
        if answer is None:
            said = invoked["Payload"].read().decode(errors="replace") if "FunctionError" in invoked else ""
            raise CustomResourceFailed(
                f"CloudFormation did not receive a response from your Custom Resource. {said}".strip()
            )
        if answer.get("Status") != "SUCCESS":
            if request_type == "Create":  # what is to be deleted then
                self.physical_resource_id = answer.get("PhysicalResourceId") or self.physical_resource_id
            raise CustomResourceFailed(
                "Received response status [FAILED] from custom resource. "
                f"Message returned: {answer.get('Reason', '')}"
            )
        self.physical_resource_id = answer["PhysicalResourceId"]
        self.attributes = answer.get("Data") or {}


class CustomResourceFailed(Exception):
    """The function answered FAILED, or not at all."""


def receive(request_id: str, body: bytes) -> None:
    """Keep what a function put to its ResponseURL."""
    _RESPONSES[request_id] = json.loads(body)


def _strings(value: Any) -> Any:
    """As CloudFormation sends properties: numbers and booleans are strings."""
    if isinstance(value, dict):
        return {key: _strings(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_strings(item) for item in value]
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else str(value)
