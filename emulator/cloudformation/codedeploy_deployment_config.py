"""AWS::CodeDeploy::DeploymentConfig."""

from typing import Self

from emulator.clients import client
from emulator.cloudformation.resource import Properties, Resource, lower_camel


class DeploymentConfig(Resource):
    """How traffic is shifted; every change of one is a replacement, as in AWS."""

    TYPE = "AWS::CodeDeploy::DeploymentConfig"
    NAME_PROPERTY = "DeploymentConfigName"

    @classmethod
    def create(cls, name: str, properties: Properties, region: str) -> Self:
        """CreateDeploymentConfig."""
        client("codedeploy", region).create_deployment_config(
            **lower_camel({**properties, "DeploymentConfigName": name})
        )
        return cls(name, region, properties)

    def remove(self) -> None:
        """DeleteDeploymentConfig."""
        client("codedeploy", self.region).delete_deployment_config(
            deploymentConfigName=self.physical_resource_id
        )
