"""AWS::ApplicationAutoScaling::ScalingPolicy."""

from typing import Self

from emulator.clients import client
from emulator.cloudformation.resource import Properties, Resource


class ScalingPolicy(Resource):
    """How a target scales; ``emulator.scaling`` does it for provisioned concurrency."""

    TYPE = "AWS::ApplicationAutoScaling::ScalingPolicy"
    NAME_PROPERTY = "PolicyName"
    ATTRIBUTES = frozenset({"Arn"})

    @classmethod
    def create(cls, name: str, properties: Properties, region: str) -> Self:
        """PutScalingPolicy."""
        arn: str = client("application-autoscaling", region).put_scaling_policy(
            **_request({**properties, "PolicyName": name})
        )["PolicyARN"]
        return cls(arn, region, properties, {"Arn": arn})

    def update(self, properties: Properties) -> bool:
        """PutScalingPolicy again, unless it is another policy now."""
        if _key(properties) != _key(self.properties):
            return False
        client("application-autoscaling", self.region).put_scaling_policy(**_request(properties))
        return True

    def remove(self) -> None:
        """DeleteScalingPolicy."""
        client("application-autoscaling", self.region).delete_scaling_policy(
            **_key(_request(self.properties))
        )


def _request(properties: Properties) -> Properties:
    """The API's parameters: a template may name the target by its physical id."""
    request = dict(properties)
    if "ScalingTargetId" in request:
        resource_id, dimension, namespace = request.pop("ScalingTargetId").split("|")
        request.update(ResourceId=resource_id, ScalableDimension=dimension, ServiceNamespace=namespace)
    return request


def _key(properties: Properties) -> Properties:
    names = ("PolicyName", "ServiceNamespace", "ResourceId", "ScalableDimension")
    return {key: _request(properties)[key] for key in names}
