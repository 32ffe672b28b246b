"""AWS::ApiGatewayV2::DomainName."""

from typing import Self

from emulator.clients import client
from emulator.cloudformation.resource import Properties, Resource


class DomainName(Resource):
    """A domain's name; nothing resolves it here, so the API answers at its own address only."""

    TYPE = "AWS::ApiGatewayV2::DomainName"
    ATTRIBUTES = frozenset({"RegionalDomainName", "RegionalHostedZoneId", "DomainNameArn"})

    @classmethod
    def create(cls, name: str, properties: Properties, region: str) -> Self:  # noqa: ARG003 - must be named
        """CreateDomainName."""
        domain = properties["DomainName"]
        made = client("apigatewayv2", region).create_domain_name(**properties)
        attributes = {
            "RegionalDomainName": f"d-{domain.replace('.', '-')}.execute-api.{region}.amazonaws.com",
            "RegionalHostedZoneId": "Z0000000EMULATED",
            "DomainNameArn": made["DomainNameArn"],
        }
        return cls(domain, region, properties, attributes)

    def update(self, properties: Properties) -> bool:
        """Another certificate; nobody presents it here, and moto has no UpdateDomainName."""
        return bool(properties["DomainName"] == self.physical_resource_id)

    def remove(self) -> None:
        """DeleteDomainName."""
        client("apigatewayv2", self.region).delete_domain_name(DomainName=self.physical_resource_id)
