"""AWS::CodeDeploy::DeploymentGroup."""

from typing import Any, Self

from emulator.clients import client
from emulator.cloudformation.resource import Properties, Resource, lower_camel


class DeploymentGroup(Resource):
    """Which alarms stop a rollout, and what undoes it."""

    TYPE = "AWS::CodeDeploy::DeploymentGroup"
    NAME_PROPERTY = "DeploymentGroupName"

    @classmethod
    def create(cls, name: str, properties: Properties, region: str) -> Self:
        """CreateDeploymentGroup."""
        client("codedeploy", region).create_deployment_group(
            **_request(properties), deploymentGroupName=name, tags=properties.get("Tags", [])
        )
        return cls(name, region, properties)

    def update(self, properties: Properties) -> bool:
        """UpdateDeploymentGroup."""
        same = ("ApplicationName", "DeploymentGroupName")
        if any(properties.get(key) != self.properties.get(key) for key in same):
            return False
        client("codedeploy", self.region).update_deployment_group(
            **_request(properties), currentDeploymentGroupName=self.physical_resource_id
        )
        return True

    def remove(self) -> None:
        """DeleteDeploymentGroup."""
        client("codedeploy", self.region).delete_deployment_group(
            applicationName=self.properties["ApplicationName"], deploymentGroupName=self.physical_resource_id
        )


def _request(properties: Properties) -> Any:
    return lower_camel(
        {key: value for key, value in properties.items() if key not in ("DeploymentGroupName", "Tags")}
    )
