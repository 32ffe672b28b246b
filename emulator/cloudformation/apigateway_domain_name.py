"""AWS::ApiGateway::DomainName."""

from typing import Self

from emulator.clients import client
from emulator.cloudformation.resource import Properties, Resource, lower_camel


class RestDomainName(Resource):
    """A domain's name; nothing resolves it here, so the API answers at its own address only."""

    TYPE = "AWS::ApiGateway::DomainName"
    ATTRIBUTES = frozenset({"RegionalDomainName", "RegionalHostedZoneId"})

    @classmethod
    def create(cls, name: str, properties: Properties, region: str) -> Self:  # noqa: ARG003 - must be named
        """CreateDomainName."""
        domain = properties["DomainName"]
        request = lower_camel({key: value for key, value in properties.items() if key != "Tags"})
        client("apigateway", region).create_domain_name(**request)
        attributes = {
            "RegionalDomainName": f"d-{domain.replace('.', '-')}.execute-api.{region}.amazonaws.com",
            "RegionalHostedZoneId": "Z0000000EMULATED",
        }
        return cls(domain, region, properties, attributes)

    def update(self, properties: Properties) -> bool:
        """Another certificate; nobody presents it here."""
        return bool(properties["DomainName"] == self.physical_resource_id)

    def remove(self) -> None:
        """DeleteDomainName."""
        client("apigateway", self.region).delete_domain_name(domainName=self.physical_resource_id)
