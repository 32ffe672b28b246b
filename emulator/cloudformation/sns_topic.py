"""AWS::SNS::Topic."""

from typing import Self

from emulator.clients import client
from emulator.cloudformation.resource import Properties, Resource

_ATTRIBUTES = ("DisplayName", "KmsMasterKeyId")


class Topic(Resource):
    """A topic; moto's own type makes a new one of every update, without the subscriptions."""

    TYPE = "AWS::SNS::Topic"
    NAME_PROPERTY = "TopicName"
    ATTRIBUTES = frozenset({"TopicArn", "TopicName"})

    @classmethod
    def create(cls, name: str, properties: Properties, region: str) -> Self:
        """CreateTopic."""
        arn = client("sns", region).create_topic(
            Name=name,
            Attributes={key: properties[key] for key in _ATTRIBUTES if key in properties},
            Tags=properties.get("Tags", []),
        )["TopicArn"]
        return cls(arn, region, properties, {"TopicArn": arn, "TopicName": name})

    def update(self, properties: Properties) -> bool:
        """SetTopicAttributes and TagResource."""
        if properties.get("TopicName") != self.properties.get("TopicName"):
            return False
        sns, arn = client("sns", self.region), self.physical_resource_id
        for key in _ATTRIBUTES:
            if properties.get(key) != self.properties.get(key):
                sns.set_topic_attributes(
                    TopicArn=arn, AttributeName=key, AttributeValue=properties.get(key, "")
                )
        if properties.get("Tags"):
            sns.tag_resource(ResourceArn=arn, Tags=properties["Tags"])
        return True

    def remove(self) -> None:
        """DeleteTopic."""
        client("sns", self.region).delete_topic(TopicArn=self.physical_resource_id)
