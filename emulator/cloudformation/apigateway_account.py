"""AWS::ApiGateway::Account."""

from typing import Self

from emulator.clients import client
from emulator.cloudformation.resource import Properties, Resource


class Account(Resource):
    """The role by which REST APIs write logs; it is the account's, so it stays when the resource goes."""

    TYPE = "AWS::ApiGateway::Account"

    @classmethod
    def create(cls, name: str, properties: Properties, region: str) -> Self:
        """UpdateAccount."""
        account = cls(name, region, properties)
        account.update(properties)
        return account

    def update(self, properties: Properties) -> bool:
        """UpdateAccount again."""
        role = properties.get("CloudWatchRoleArn", "")
        operation = {"op": "replace", "path": "/cloudwatchRoleArn", "value": role}
        client("apigateway", self.region).update_account(patchOperations=[operation])
        return True

    def remove(self) -> None:
        """Nothing to delete: see the class."""
