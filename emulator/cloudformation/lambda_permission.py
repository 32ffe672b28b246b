"""AWS::Lambda::Permission."""

from typing import Self

from emulator.clients import client
from emulator.cloudformation.resource import Properties, Resource


class Permission(Resource):
    """Who may invoke; the gateway asks for it, as API Gateway does (``emulator.permissions``)."""

    TYPE = "AWS::Lambda::Permission"
    ATTRIBUTES = frozenset({"Id"})

    @classmethod
    def create(cls, name: str, properties: Properties, region: str) -> Self:
        """AddPermission, on the function, version or alias that the template names."""
        statement_id = name[-100:]
        client("lambda", region).add_permission(
            **{**properties, **_function(properties)}, StatementId=statement_id
        )
        return cls(statement_id, region, properties, {"Id": statement_id})

    def remove(self) -> None:
        """RemovePermission."""
        client("lambda", self.region).remove_permission(
            **_function(self.properties), StatementId=self.physical_resource_id
        )


def _function(properties: Properties) -> Properties:
    """The function's name and its qualifier, if any, of a name or an ARN."""
    name: str = properties["FunctionName"]
    words = name.split(":")[6:] if name.startswith("arn:") else name.split(":")
    return dict(zip(("FunctionName", "Qualifier"), words, strict=False))
