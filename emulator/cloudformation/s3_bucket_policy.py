"""AWS::S3::BucketPolicy."""

from typing import Self

from emulator.cloudformation.resource import Properties, Resource


class BucketPolicy(Resource):
    """Kept as a resource and not applied.

    moto enforces bucket policies, and the policy that every bucket should have (TLS only) would refuse the
    emulator's plain HTTP on loopback.
    """

    TYPE = "AWS::S3::BucketPolicy"

    @classmethod
    def create(cls, name: str, properties: Properties, region: str) -> Self:  # noqa: ARG003 - has no name
        """Nothing to make: see the class."""
        return cls(properties["Bucket"], region, properties)

    def update(self, properties: Properties) -> bool:
        """Nothing to change, unless it is another bucket's policy now."""
        return bool(properties["Bucket"] == self.physical_resource_id)

    def remove(self) -> None:
        """Nothing to delete."""
