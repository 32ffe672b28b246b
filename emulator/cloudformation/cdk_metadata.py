"""AWS::CDK::Metadata."""

from typing import Self

from emulator.cloudformation.resource import Properties, Resource


class CdkMetadata(Resource):
    """The CDK's note to AWS about a stack's constructs; it is nothing, here as there."""

    TYPE = "AWS::CDK::Metadata"

    @classmethod
    def create(cls, name: str, properties: Properties, region: str) -> Self:
        """Nothing to make."""
        return cls(name, region, properties)

    def update(self, properties: Properties) -> bool:  # noqa: ARG002 - nothing to change
        """Nothing to change."""
        return True

    def remove(self) -> None:
        """Nothing to delete."""
