"""AWS::SNS::TopicPolicy."""

import json
from typing import Self

from emulator.clients import client
from emulator.cloudformation.resource import Properties, Resource


class TopicPolicy(Resource):
    """The policy of one or more topics; removing it leaves the topics as they are, as moto has no default."""

    TYPE = "AWS::SNS::TopicPolicy"

    @classmethod
    def create(cls, name: str, properties: Properties, region: str) -> Self:
        """Set the policy."""
        policy = cls(name, region, properties)
        policy.update(properties)
        return policy

    def update(self, properties: Properties) -> bool:
        """Set it anew."""
        document = json.dumps(properties["PolicyDocument"])
        for topic in properties["Topics"]:
            client("sns", self.region).set_topic_attributes(
                TopicArn=topic, AttributeName="Policy", AttributeValue=document
            )
        return True

    def remove(self) -> None:
        """Nothing to delete: the topics go with their stack."""
