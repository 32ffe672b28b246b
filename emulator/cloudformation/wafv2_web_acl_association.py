"""AWS::WAFv2::WebACLAssociation."""

from typing import Self

from emulator.clients import client
from emulator.cloudformation.resource import Properties, Resource


class WebAclAssociation(Resource):
    """That a web ACL protects a stage; its rules are not evaluated here."""

    TYPE = "AWS::WAFv2::WebACLAssociation"

    @classmethod
    def create(cls, name: str, properties: Properties, region: str) -> Self:  # noqa: ARG003 - has no name
        """AssociateWebACL."""
        client("wafv2", region).associate_web_acl(
            WebACLArn=properties["WebACLArn"], ResourceArn=properties["ResourceArn"]
        )
        return cls(f"{properties['WebACLArn']}|{properties['ResourceArn']}", region, properties)

    def remove(self) -> None:
        """DisassociateWebACL."""
        client("wafv2", self.region).disassociate_web_acl(ResourceArn=self.properties["ResourceArn"])
