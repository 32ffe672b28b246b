"""AWS::ApiGatewayV2::Api, whose endpoint is the emulator's own gateway."""

from typing import Self

from emulator import settings
from emulator.clients import client
from emulator.cloudformation.apigatewayv2_document import backend_api, import_routes, properties_of
from emulator.cloudformation.resource import Properties, Resource


class Api(Resource):
    """An HTTP API; WebSocket APIs are refused, because the gateway does not speak that protocol.

    With a document (``Body``) its routes are those of the document, whatever was there before.
    """

    TYPE = "AWS::ApiGatewayV2::Api"
    ATTRIBUTES = frozenset({"ApiId", "ApiEndpoint"})

    @classmethod
    def create(cls, name: str, properties: Properties, region: str) -> Self:  # noqa: ARG003 - must be named
        """CreateApi or ImportApi, and the address at which the gateway serves it."""
        if properties.get("ProtocolType", "HTTP") != "HTTP":
            raise NotImplementedError(
                f"The emulator serves HTTP APIs only, not {properties['ProtocolType']}."
            )
        api_id: str = client("apigatewayv2", region).create_api(**_own(properties))["ApiId"]
        if "Body" in properties:
            import_routes(api_id, region, properties["Body"])
        endpoint = f"{settings.endpoint()}{settings.API_PREFIX}{api_id}"
        backend_api(region, api_id).api_endpoint = endpoint
        return cls(api_id, region, properties, {"ApiId": api_id, "ApiEndpoint": endpoint})

    def update(self, properties: Properties) -> bool:
        """UpdateApi or ReimportApi; the id and so the address stay.

        Where a document is taken out, as in a rollback, its routes stay.
        """
        new, old = _own(properties), _own(self.properties)
        if "Body" in properties:
            import_routes(self.physical_resource_id, self.region, properties["Body"])
        changed = {key: value for key, value in new.items() if key not in ("ProtocolType", "Tags")}
        api = client("apigatewayv2", self.region)
        api.update_api(ApiId=self.physical_resource_id, **changed)
        if "CorsConfiguration" not in new and "CorsConfiguration" in old:
            api.delete_cors_configuration(ApiId=self.physical_resource_id)
        return True

    def remove(self) -> None:
        """DeleteApi."""
        client("apigatewayv2", self.region).delete_api(ApiId=self.physical_resource_id)


def _own(properties: Properties) -> Properties:
    """What CreateApi takes; a document says all of it, and beside one there must be no other."""
    if "Body" not in properties:
        return properties
    if others := sorted(properties.keys() - {"Body", "FailOnWarnings"}):
        raise NotImplementedError(f"An API with a Body says {', '.join(others)} in it.")
    return properties_of(properties["Body"])
