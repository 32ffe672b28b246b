"""AWS::ApiGatewayV2::Api, whose endpoint is the emulator's own gateway."""

from typing import Self

from moto.apigatewayv2.models import apigatewayv2_backends

from emulator import settings
from emulator.clients import client
from emulator.cloudformation.resource import Properties, Resource


class Api(Resource):
    """An HTTP API; WebSocket APIs are refused, because the gateway does not speak that protocol."""

    TYPE = "AWS::ApiGatewayV2::Api"
    ATTRIBUTES = frozenset({"ApiId", "ApiEndpoint"})

    @classmethod
    def create(cls, name: str, properties: Properties, region: str) -> Self:  # noqa: ARG003 - must be named
        """CreateApi, and the address at which the gateway serves it."""
        if properties.get("ProtocolType", "HTTP") != "HTTP":
            raise NotImplementedError(
                f"The emulator serves HTTP APIs only, not {properties['ProtocolType']}."
            )
        api_id: str = client("apigatewayv2", region).create_api(**properties)["ApiId"]
        endpoint = f"{settings.endpoint()}{settings.API_PREFIX}{api_id}"
        apigatewayv2_backends[settings.ACCOUNT][region].get_api(api_id).api_endpoint = endpoint
        return cls(api_id, region, properties, {"ApiId": api_id, "ApiEndpoint": endpoint})

    def update(self, properties: Properties) -> bool:
        """UpdateApi; the id and so the address stay."""
        changed = {key: value for key, value in properties.items() if key not in ("ProtocolType", "Tags")}
        api = client("apigatewayv2", self.region)
        api.update_api(ApiId=self.physical_resource_id, **changed)
        if "CorsConfiguration" not in properties and "CorsConfiguration" in self.properties:
            api.delete_cors_configuration(ApiId=self.physical_resource_id)
        return True

    def remove(self) -> None:
        """DeleteApi."""
        client("apigatewayv2", self.region).delete_api(ApiId=self.physical_resource_id)
