"""AWS::ApiGatewayV2::Stage."""

from typing import Self

from emulator.clients import client
from emulator.cloudformation.apigatewayv2_document import backend_api
from emulator.cloudformation.resource import Properties, Resource


class Stage(Resource):
    """A stage; the gateway serves every stage at once, so deployments have no type here."""

    TYPE = "AWS::ApiGatewayV2::Stage"
    NAME_PROPERTY = "StageName"

    @classmethod
    def create(cls, name: str, properties: Properties, region: str) -> Self:
        """CreateStage."""
        _check_route_settings(properties, properties["ApiId"], region)
        client("apigatewayv2", region).create_stage(**{**properties, "StageName": name})
        return cls(name, region, properties)

    def update(self, properties: Properties) -> bool:
        """Made anew under the same name: moto has no UpdateStage, and a stage holds nothing else."""
        if (
            properties["ApiId"] != self.properties["ApiId"]
            or properties["StageName"] != self.physical_resource_id
        ):
            return False
        # Also what was set before: UpdateStage keeps it, and API Gateway looks at all of it.
        for settings in (self.properties, properties):
            _check_route_settings(settings, properties["ApiId"], self.region)
        client("apigatewayv2", self.region).create_stage(**properties)
        return True

    def remove(self) -> None:
        """DeleteStage."""
        client("apigatewayv2", self.region).delete_stage(
            ApiId=self.properties["ApiId"], StageName=self.physical_resource_id
        )


def _check_route_settings(properties: Properties, api_id: str, region: str) -> None:
    routes = {route.route_key for route in backend_api(region, api_id).routes.values()}
    for key in properties.get("RouteSettings", {}):
        if key not in routes:
            raise ValueError(f"Unable to find Route by key {key} within the provided RouteSettings")
