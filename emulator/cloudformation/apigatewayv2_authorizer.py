"""AWS::ApiGatewayV2::Authorizer."""

from typing import Self

from emulator.clients import client
from emulator.cloudformation.resource import Properties, Resource


class Authorizer(Resource):
    """Whose tokens a route takes; the gateway asks the issuer for its keys (``emulator.tokens``)."""

    TYPE = "AWS::ApiGatewayV2::Authorizer"
    ATTRIBUTES = frozenset({"AuthorizerId"})

    @classmethod
    def create(cls, name: str, properties: Properties, region: str) -> Self:  # noqa: ARG003 - must be named
        """CreateAuthorizer."""
        _check(properties)
        authorizer_id: str = client("apigatewayv2", region).create_authorizer(**properties)["AuthorizerId"]
        return cls(authorizer_id, region, properties, {"AuthorizerId": authorizer_id})

    def update(self, properties: Properties) -> bool:
        """UpdateAuthorizer."""
        _check(properties)
        if properties["ApiId"] != self.properties["ApiId"]:
            return False
        client("apigatewayv2", self.region).update_authorizer(
            AuthorizerId=self.physical_resource_id, **properties
        )
        return True

    def remove(self) -> None:
        """DeleteAuthorizer."""
        client("apigatewayv2", self.region).delete_authorizer(
            ApiId=self.properties["ApiId"], AuthorizerId=self.physical_resource_id
        )


def _check(properties: Properties) -> None:
    if properties["AuthorizerType"] != "JWT":
        raise NotImplementedError(
            f"The emulator has JWT authorizers only, no {properties['AuthorizerType']} ones."
        )
