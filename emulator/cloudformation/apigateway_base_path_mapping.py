"""AWS::ApiGateway::BasePathMapping."""

from typing import Self

from emulator.clients import client
from emulator.cloudformation.resource import Properties, Resource, lower_camel

_ROOT = "(none)"


class BasePathMapping(Resource):
    """Which REST API a domain's name leads to; every change is a replacement."""

    TYPE = "AWS::ApiGateway::BasePathMapping"

    @classmethod
    def create(cls, name: str, properties: Properties, region: str) -> Self:  # noqa: ARG003 - has no name
        """CreateBasePathMapping."""
        request = lower_camel(properties)
        client("apigateway", region).create_base_path_mapping(**request)
        return cls(f"{properties['DomainName']}|{properties.get('BasePath', _ROOT)}", region, properties)

    def remove(self) -> None:
        """DeleteBasePathMapping."""
        client("apigateway", self.region).delete_base_path_mapping(
            domainName=self.properties["DomainName"], basePath=self.properties.get("BasePath", _ROOT)
        )
