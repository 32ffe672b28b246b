"""AWS::ApiGatewayV2::Stage."""

from typing import Self

from emulator.clients import client
from emulator.cloudformation.resource import Properties, Resource


class Stage(Resource):
    """A stage; the gateway serves every stage at once, so deployments have no type here."""

    TYPE = "AWS::ApiGatewayV2::Stage"
    NAME_PROPERTY = "StageName"

    @classmethod
    def create(cls, name: str, properties: Properties, region: str) -> Self:
        """CreateStage."""
        client("apigatewayv2", region).create_stage(**{**properties, "StageName": name})
        return cls(name, region, properties)

    def update(self, properties: Properties) -> bool:
        """Made anew under the same name: moto has no UpdateStage, and a stage holds nothing else."""
        if (
            properties["ApiId"] != self.properties["ApiId"]
            or properties["StageName"] != self.physical_resource_id
        ):
            return False
        client("apigatewayv2", self.region).create_stage(**properties)
        return True

    def remove(self) -> None:
        """DeleteStage."""
        client("apigatewayv2", self.region).delete_stage(
            ApiId=self.properties["ApiId"], StageName=self.physical_resource_id
        )
