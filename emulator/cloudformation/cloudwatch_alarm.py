"""AWS::CloudWatch::Alarm."""

from typing import Self

from emulator.clients import client
from emulator.cloudformation.resource import Properties, Resource


class Alarm(Resource):
    """An alarm; ``emulator.alarms`` evaluates it."""

    TYPE = "AWS::CloudWatch::Alarm"
    NAME_PROPERTY = "AlarmName"
    ATTRIBUTES = frozenset({"Arn"})

    @classmethod
    def create(cls, name: str, properties: Properties, region: str) -> Self:
        """PutMetricAlarm."""
        _check(properties)
        cloudwatch = client("cloudwatch", region)
        cloudwatch.put_metric_alarm(**{**properties, "AlarmName": name})
        arn = cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"][0]["AlarmArn"]
        return cls(name, region, properties, {"Arn": arn})

    def update(self, properties: Properties) -> bool:
        """PutMetricAlarm again, unless it has another name now."""
        if properties.get("AlarmName") != self.properties.get("AlarmName"):
            return False
        _check(properties)
        client("cloudwatch", self.region).put_metric_alarm(
            **{**properties, "AlarmName": self.physical_resource_id}
        )
        return True

    def remove(self) -> None:
        """DeleteAlarms."""
        client("cloudwatch", self.region).delete_alarms(AlarmNames=[self.physical_resource_id])


def _check(properties: Properties) -> None:
    if "Metrics" in properties:
        raise NotImplementedError("The emulator evaluates alarms on one metric: no metric math.")
