"""AWS::Logs::LogGroup."""

from typing import Self

from moto.logs.models import logs_backends

from emulator import settings
from emulator.clients import client
from emulator.cloudformation.resource import Properties, Resource, tag_map


class LogGroup(Resource):
    """A log group; moto's own type cannot be updated."""

    TYPE = "AWS::Logs::LogGroup"
    NAME_PROPERTY = "LogGroupName"
    ATTRIBUTES = frozenset({"Arn"})

    @classmethod
    def create(cls, name: str, properties: Properties, region: str) -> Self:
        """CreateLogGroup."""
        logs = client("logs", region)
        logs.create_log_group(logGroupName=name, tags=tag_map(properties))
        arn = logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"][0]["arn"]
        group = cls(name, region, properties, {"Arn": arn})
        group.update(properties)
        return group

    def update(self, properties: Properties) -> bool:
        """PutRetentionPolicy, and the key."""
        if properties.get("LogGroupName") != self.properties.get("LogGroupName"):
            return False
        logs, name = client("logs", self.region), self.physical_resource_id
        if "RetentionInDays" in properties:
            logs.put_retention_policy(logGroupName=name, retentionInDays=properties["RetentionInDays"])
        elif "RetentionInDays" in self.properties:
            logs.delete_retention_policy(logGroupName=name)
        # moto has no AssociateKmsKey.
        group = logs_backends[settings.ACCOUNT][self.region].groups[name]
        group.kms_key_id = properties.get("KmsKeyId")
        if tag_map(properties):
            logs.tag_log_group(logGroupName=name, tags=tag_map(properties))
        return True

    def remove(self) -> None:
        """DeleteLogGroup."""
        client("logs", self.region).delete_log_group(logGroupName=self.physical_resource_id)
