"""AWS::KinesisFirehose::DeliveryStream."""

from typing import Self

from emulator.clients import client
from emulator.cloudformation.resource import Properties, Resource

_LONGEST_NAME = 64
_DESTINATION = "ExtendedS3DestinationConfiguration"


class DeliveryStream(Resource):
    """A delivery stream into S3."""

    TYPE = "AWS::KinesisFirehose::DeliveryStream"
    NAME_PROPERTY = "DeliveryStreamName"
    ATTRIBUTES = frozenset({"Arn"})

    @classmethod
    def create(cls, name: str, properties: Properties, region: str) -> Self:
        """CreateDeliveryStream; of a longer name its end, which is one of a kind."""
        name = name[-_LONGEST_NAME:].lstrip("-")
        given = {**properties, "DeliveryStreamName": name}
        arn = client("firehose", region).create_delivery_stream(**_in_numbers(given))["DeliveryStreamARN"]
        return cls(name, region, properties, {"Arn": arn})

    def update(self, properties: Properties) -> bool:
        """UpdateDestination, and the tags; another name or type makes another one."""
        for key in ("DeliveryStreamName", "DeliveryStreamType"):
            if properties.get(key) != self.properties.get(key):
                return False
        firehose, name = client("firehose", self.region), self.physical_resource_id
        described = firehose.describe_delivery_stream(DeliveryStreamName=name)["DeliveryStreamDescription"]
        firehose.update_destination(
            DeliveryStreamName=name,
            CurrentDeliveryStreamVersionId=described["VersionId"],
            DestinationId=described["Destinations"][0]["DestinationId"],
            ExtendedS3DestinationUpdate=_in_numbers(properties)[_DESTINATION],
        )
        if properties.get("Tags"):
            firehose.tag_delivery_stream(DeliveryStreamName=name, Tags=properties["Tags"])
        return True

    def remove(self) -> None:
        """DeleteDeliveryStream."""
        client("firehose", self.region).delete_delivery_stream(DeliveryStreamName=self.physical_resource_id)


def _in_numbers(properties: Properties) -> Properties:
    """Templates may hold numbers as text."""
    destination = properties[_DESTINATION]
    hints = {key: int(value) for key, value in destination.get("BufferingHints", {}).items()}
    return {**properties, _DESTINATION: {**destination, **({"BufferingHints": hints} if hints else {})}}
