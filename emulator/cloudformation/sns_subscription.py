"""AWS::SNS::Subscription."""

from typing import Self

from emulator.clients import client
from emulator.cloudformation.resource import Properties, Resource


class Subscription(Resource):
    """A subscription to a topic."""

    TYPE = "AWS::SNS::Subscription"
    ATTRIBUTES = frozenset({"Arn"})

    @classmethod
    def create(cls, name: str, properties: Properties, region: str) -> Self:  # noqa: ARG003 - has no name
        """Subscribe."""
        arn: str = client("sns", region).subscribe(**properties, ReturnSubscriptionArn=True)[
            "SubscriptionArn"
        ]
        return cls(arn, region, properties, {"Arn": arn})

    def remove(self) -> None:
        """Unsubscribe."""
        client("sns", self.region).unsubscribe(SubscriptionArn=self.physical_resource_id)
