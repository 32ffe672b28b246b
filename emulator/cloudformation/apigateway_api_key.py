"""AWS::ApiGateway::ApiKey."""

from typing import Self

from emulator.clients import client
from emulator.cloudformation.resource import Properties, Resource, lower_camel

_FIXED = ("Value", "GenerateDistinctId", "StageKeys")


class ApiKey(Resource):
    """An API key, whose value is made up unless the template has one."""

    TYPE = "AWS::ApiGateway::ApiKey"
    NAME_PROPERTY = "Name"
    ATTRIBUTES = frozenset({"APIKeyId"})

    @classmethod
    def create(cls, name: str, properties: Properties, region: str) -> Self:
        """CreateApiKey."""
        request = lower_camel({key: value for key, value in properties.items() if key != "Tags"})
        key_id: str = client("apigateway", region).create_api_key(**{**request, "name": name})["id"]
        return cls(key_id, region, properties, {"APIKeyId": key_id})

    def update(self, properties: Properties) -> bool:
        """UpdateApiKey."""
        if any(properties.get(key) != self.properties.get(key) for key in _FIXED):
            return False
        enabled = str(properties.get("Enabled", False)).lower()
        values = {"/enabled": enabled, "/description": properties.get("Description", "")}
        if "Name" in properties:
            values["/name"] = properties["Name"]
        client("apigateway", self.region).update_api_key(
            apiKey=self.physical_resource_id,
            patchOperations=[
                {"op": "replace", "path": path, "value": value} for path, value in values.items()
            ],
        )
        return True

    def remove(self) -> None:
        """DeleteApiKey."""
        client("apigateway", self.region).delete_api_key(apiKey=self.physical_resource_id)
