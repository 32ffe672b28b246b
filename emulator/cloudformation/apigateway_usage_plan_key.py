"""AWS::ApiGateway::UsagePlanKey."""

from typing import Self

from emulator.clients import client
from emulator.cloudformation.resource import Properties, Resource


class UsagePlanKey(Resource):
    """That a key belongs to a plan; every change is a replacement."""

    TYPE = "AWS::ApiGateway::UsagePlanKey"
    ATTRIBUTES = frozenset({"Id"})

    @classmethod
    def create(cls, name: str, properties: Properties, region: str) -> Self:  # noqa: ARG003 - has no name
        """CreateUsagePlanKey."""
        plan, key = properties["UsagePlanId"], properties["KeyId"]
        client("apigateway", region).create_usage_plan_key(
            usagePlanId=plan, keyId=key, keyType=properties["KeyType"]
        )
        physical_id = f"{key}:{plan}"
        return cls(physical_id, region, properties, {"Id": physical_id})

    def remove(self) -> None:
        """DeleteUsagePlanKey."""
        client("apigateway", self.region).delete_usage_plan_key(
            usagePlanId=self.properties["UsagePlanId"], keyId=self.properties["KeyId"]
        )
