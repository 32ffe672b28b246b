"""AWS::ApiGatewayV2::Route."""

from typing import Self

from emulator.clients import client
from emulator.cloudformation.apigatewayv2_document import backend_api
from emulator.cloudformation.resource import Properties, Resource

# What the gateway can check. A route that asks for more would be open here and closed in AWS.
AUTHORIZATION_TYPES = ("NONE", "AWS_IAM", "JWT")


class Route(Resource):
    """A route of an HTTP API."""

    TYPE = "AWS::ApiGatewayV2::Route"
    ATTRIBUTES = frozenset({"RouteId"})

    @classmethod
    def create(cls, name: str, properties: Properties, region: str) -> Self:  # noqa: ARG003 - has no name
        """CreateRoute; moto takes a second one with the same key."""
        _check(properties)
        routes = backend_api(region, properties["ApiId"]).routes.values()
        if properties["RouteKey"] in {route.route_key for route in routes}:
            raise ValueError(f"Route with key {properties['RouteKey']} already exists for this API")
        route_id: str = client("apigatewayv2", region).create_route(**properties)["RouteId"]
        return cls(route_id, region, properties, {"RouteId": route_id})

    def update(self, properties: Properties) -> bool:
        """UpdateRoute."""
        _check(properties)
        if properties["ApiId"] != self.properties["ApiId"]:
            return False
        client("apigatewayv2", self.region).update_route(RouteId=self.physical_resource_id, **properties)
        return True

    def remove(self) -> None:
        """DeleteRoute."""
        client("apigatewayv2", self.region).delete_route(
            ApiId=self.properties["ApiId"], RouteId=self.physical_resource_id
        )


def _check(properties: Properties) -> None:
    authorization = properties.get("AuthorizationType", "NONE")
    if authorization not in AUTHORIZATION_TYPES:
        raise NotImplementedError(
            f"The emulator cannot check {authorization} authorisation of route '{properties['RouteKey']}': "
            f"use one of {', '.join(AUTHORIZATION_TYPES)} here."
        )
