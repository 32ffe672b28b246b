"""AWS::Lambda::Permission."""

from typing import Self

from emulator.clients import client
from emulator.cloudformation.resource import Properties, Resource


class Permission(Resource):
    """Who may invoke; the gateway needs no permission here, so a missing one shows only in AWS."""

    TYPE = "AWS::Lambda::Permission"
    ATTRIBUTES = frozenset({"Id"})

    @classmethod
    def create(cls, name: str, properties: Properties, region: str) -> Self:
        """AddPermission, on the function: moto keeps one policy for all of its aliases and versions."""
        statement_id = name[-100:]
        client("lambda", region).add_permission(
            **{**properties, "FunctionName": _function(properties)}, StatementId=statement_id
        )
        return cls(statement_id, region, properties, {"Id": statement_id})

    def remove(self) -> None:
        """RemovePermission."""
        client("lambda", self.region).remove_permission(
            FunctionName=_function(self.properties), StatementId=self.physical_resource_id
        )


def _function(properties: Properties) -> str:
    """The function's name, of a name or an ARN with or without a qualifier."""
    name: str = properties["FunctionName"]
    return name.split(":")[6] if name.startswith("arn:") else name.split(":", maxsplit=1)[0]
