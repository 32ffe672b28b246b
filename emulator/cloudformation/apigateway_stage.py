"""AWS::ApiGateway::Stage."""

from typing import Any, Self

from moto.apigateway.models import apigateway_backends

from emulator import settings
from emulator.clients import client
from emulator.cloudformation.resource import Properties, Resource

_THROTTLING = {"ThrottlingRateLimit": "rateLimit", "ThrottlingBurstLimit": "burstLimit"}


class RestStage(Resource):
    """A stage of a REST API, and the limits of its methods."""

    TYPE = "AWS::ApiGateway::Stage"
    NAME_PROPERTY = "StageName"

    @classmethod
    def create(cls, name: str, properties: Properties, region: str) -> Self:
        """CreateStage, and UpdateStage for the limits."""
        client("apigateway", region).create_stage(
            restApiId=properties["RestApiId"],
            stageName=name,
            deploymentId=properties["DeploymentId"],
            variables=properties.get("Variables", {}),
        )
        stage = cls(name, region, properties)
        stage._limit(properties)
        return stage

    def update(self, properties: Properties) -> bool:
        """UpdateStage: another deployment, other variables and limits."""
        same = ("RestApiId", "StageName")
        if any(properties.get(key) != self.properties.get(key) for key in same):
            return False
        self._patch({"/deploymentId": properties["DeploymentId"]})
        self._stage(properties).variables = dict(properties.get("Variables", {}))
        self._limit(properties)
        return True

    def remove(self) -> None:
        """DeleteStage."""
        client("apigateway", self.region).delete_stage(
            restApiId=self.properties["RestApiId"], stageName=self.physical_resource_id
        )

    def _stage(self, properties: Properties) -> Any:
        backend = apigateway_backends[settings.ACCOUNT][self.region]
        return backend.get_stage(properties["RestApiId"], self.physical_resource_id)

    def _limit(self, properties: Properties) -> None:
        self._stage(properties).method_settings.clear()
        for method in properties.get("MethodSettings", []):
            prefix = f"{method['ResourcePath']}/{method['HttpMethod']}/throttling"
            self._patch(
                {f"{prefix}/{api}": method[name] for name, api in _THROTTLING.items() if name in method}
            )

    def _patch(self, values: dict[str, Any]) -> None:
        client("apigateway", self.region).update_stage(
            restApiId=self.properties["RestApiId"],
            stageName=self.physical_resource_id,
            patchOperations=[
                {"op": "replace", "path": path, "value": str(value)} for path, value in values.items()
            ],
        )
