"""AWS::CodeDeploy::Application."""

from typing import Self

from emulator.clients import client
from emulator.cloudformation.resource import Properties, Resource


class Application(Resource):
    """What deployment groups belong to."""

    TYPE = "AWS::CodeDeploy::Application"
    NAME_PROPERTY = "ApplicationName"

    @classmethod
    def create(cls, name: str, properties: Properties, region: str) -> Self:
        """CreateApplication."""
        platform = properties.get("ComputePlatform", "Server")
        if platform != "Lambda":
            raise NotImplementedError(f"The emulator deploys Lambda aliases, not the platform {platform}.")
        client("codedeploy", region).create_application(
            applicationName=name, computePlatform=platform, tags=properties.get("Tags", [])
        )
        return cls(name, region, properties)

    def update(self, properties: Properties) -> bool:
        """Tags alone change in place."""
        same = ("ApplicationName", "ComputePlatform")
        return all(properties.get(key) == self.properties.get(key) for key in same)

    def remove(self) -> None:
        """DeleteApplication."""
        client("codedeploy", self.region).delete_application(applicationName=self.physical_resource_id)
