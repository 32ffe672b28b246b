"""AWS::CE::AnomalyMonitor."""

import json
from typing import Self

from emulator.clients import client
from emulator.cloudformation.resource import Properties, Resource


class AnomalyMonitor(Resource):
    """What cost is watched; none is ever unusual here."""

    TYPE = "AWS::CE::AnomalyMonitor"
    ATTRIBUTES = frozenset({"MonitorArn"})

    @classmethod
    def create(cls, name: str, properties: Properties, region: str) -> Self:  # noqa: ARG003 - it has its own
        """CreateAnomalyMonitor; what a template writes as text, the API takes as an object."""
        monitor = {key: value for key, value in properties.items() if key != "ResourceTags"}
        if "MonitorSpecification" in monitor:
            monitor["MonitorSpecification"] = json.loads(monitor["MonitorSpecification"])
        arn = client("ce", region).create_anomaly_monitor(AnomalyMonitor=monitor)["MonitorArn"]
        return cls(arn, region, properties, {"MonitorArn": arn})

    def remove(self) -> None:
        """DeleteAnomalyMonitor."""
        client("ce", self.region).delete_anomaly_monitor(MonitorArn=self.physical_resource_id)
