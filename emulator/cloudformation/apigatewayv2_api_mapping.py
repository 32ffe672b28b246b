"""AWS::ApiGatewayV2::ApiMapping."""

from typing import Self

from emulator.clients import client
from emulator.cloudformation.resource import Properties, Resource


class ApiMapping(Resource):
    """Which API a domain's name leads to; every change is a replacement."""

    TYPE = "AWS::ApiGatewayV2::ApiMapping"
    ATTRIBUTES = frozenset({"ApiMappingId"})

    @classmethod
    def create(cls, name: str, properties: Properties, region: str) -> Self:  # noqa: ARG003 - has no name
        """CreateApiMapping."""
        mapping_id: str = client("apigatewayv2", region).create_api_mapping(
            **{"ApiMappingKey": "", **properties}
        )["ApiMappingId"]
        return cls(mapping_id, region, properties, {"ApiMappingId": mapping_id})

    def remove(self) -> None:
        """DeleteApiMapping."""
        client("apigatewayv2", self.region).delete_api_mapping(
            ApiMappingId=self.physical_resource_id, DomainName=self.properties["DomainName"]
        )
