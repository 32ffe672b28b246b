"""AWS::CE::AnomalySubscription."""

import json
from typing import Self

from emulator.clients import client
from emulator.cloudformation.resource import Properties, Resource


class AnomalySubscription(Resource):
    """Who is told of unusual cost."""

    TYPE = "AWS::CE::AnomalySubscription"

    @classmethod
    def create(cls, name: str, properties: Properties, region: str) -> Self:  # noqa: ARG003 - it has its own
        """CreateAnomalySubscription; what a template writes as text, the API takes as an object."""
        subscription = {key: value for key, value in properties.items() if key != "ResourceTags"}
        if "ThresholdExpression" in subscription:
            subscription["ThresholdExpression"] = json.loads(subscription["ThresholdExpression"])
        made = client("ce", region).create_anomaly_subscription(AnomalySubscription=subscription)
        return cls(made["SubscriptionArn"], region, properties)

    def remove(self) -> None:
        """DeleteAnomalySubscription."""
        client("ce", self.region).delete_anomaly_subscription(SubscriptionArn=self.physical_resource_id)
