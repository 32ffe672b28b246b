"""AWS::ApplicationAutoScaling::ScalableTarget."""

from typing import Self

from emulator.clients import client
from emulator.cloudformation.resource import Properties, Resource, tag_map


class ScalableTarget(Resource):
    """What may scale and how far; ``emulator.scaling`` does it for provisioned concurrency."""

    TYPE = "AWS::ApplicationAutoScaling::ScalableTarget"

    @classmethod
    def create(cls, name: str, properties: Properties, region: str) -> Self:  # noqa: ARG003 - has no name
        """RegisterScalableTarget, and its scheduled actions."""
        _register(properties, region)
        key = _key(properties)
        physical_id = f"{key['ResourceId']}|{key['ScalableDimension']}|{key['ServiceNamespace']}"
        return cls(physical_id, region, properties)

    def update(self, properties: Properties) -> bool:
        """Register again: the service takes that as an update."""
        if _key(properties) != _key(self.properties):
            return False
        _unschedule(self.properties, self.region)
        _register(properties, self.region)
        return True

    def remove(self) -> None:
        """DeregisterScalableTarget, which takes the scheduled actions along."""
        _unschedule(self.properties, self.region)
        client("application-autoscaling", self.region).deregister_scalable_target(**_key(self.properties))


def _key(properties: Properties) -> Properties:
    return {key: properties[key] for key in ("ServiceNamespace", "ResourceId", "ScalableDimension")}


def _register(properties: Properties, region: str) -> None:
    autoscaling = client("application-autoscaling", region)
    target = dict(properties)
    scheduled = target.pop("ScheduledActions", [])
    target["Tags"] = tag_map(properties)
    autoscaling.register_scalable_target(**target)
    for action in scheduled:
        autoscaling.put_scheduled_action(**_key(properties), **action)


def _unschedule(properties: Properties, region: str) -> None:
    for action in properties.get("ScheduledActions", []):
        client("application-autoscaling", region).delete_scheduled_action(
            **_key(properties), ScheduledActionName=action["ScheduledActionName"]
        )
