"""AWS::ApiGatewayV2::Integration."""

from typing import Self

from emulator.clients import client
from emulator.cloudformation.resource import Properties, Resource


class Integration(Resource):
    """A Lambda proxy integration with payload format 2.0, the one that the gateway speaks."""

    TYPE = "AWS::ApiGatewayV2::Integration"
    ATTRIBUTES = frozenset({"IntegrationId"})

    @classmethod
    def create(cls, name: str, properties: Properties, region: str) -> Self:  # noqa: ARG003 - has no name
        """CreateIntegration."""
        _check(properties)
        integration_id: str = client("apigatewayv2", region).create_integration(**properties)["IntegrationId"]
        return cls(integration_id, region, properties, {"IntegrationId": integration_id})

    def update(self, properties: Properties) -> bool:
        """UpdateIntegration."""
        _check(properties)
        if properties["ApiId"] != self.properties["ApiId"]:
            return False
        client("apigatewayv2", self.region).update_integration(
            IntegrationId=self.physical_resource_id, **properties
        )
        return True

    def remove(self) -> None:
        """DeleteIntegration."""
        client("apigatewayv2", self.region).delete_integration(
            ApiId=self.properties["ApiId"], IntegrationId=self.physical_resource_id
        )


def _check(properties: Properties) -> None:
    kind = (properties["IntegrationType"], properties.get("PayloadFormatVersion"))
    if kind != ("AWS_PROXY", "2.0"):
        raise NotImplementedError(
            f"The emulator serves AWS_PROXY integrations with payload format 2.0, "
            f"not {kind[0]} with {kind[1]}."
        )
