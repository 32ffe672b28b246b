"""AWS::ApiGateway::Deployment."""

import copy
from typing import Any, Self

from moto.apigateway.models import apigateway_backends

from emulator import settings
from emulator.clients import client
from emulator.cloudformation.resource import Properties, Resource


class RestDeployment(Resource):
    """What a REST API was when it was deployed; a changed API needs another one, as in AWS."""

    TYPE = "AWS::ApiGateway::Deployment"
    ATTRIBUTES = frozenset({"DeploymentId"})

    @classmethod
    def create(cls, name: str, properties: Properties, region: str) -> Self:  # noqa: ARG003 - has no name
        """CreateDeployment, of the API's document as it is now."""
        api: Any = apigateway_backends[settings.ACCOUNT][region].get_rest_api(properties["RestApiId"])
        # Not by moto's API, which looks for methods of its own.
        deployment = api.create_deployment("", properties.get("Description", ""))
        deployment.document = copy.deepcopy(api.document)
        return cls(deployment.id, region, properties, {"DeploymentId": deployment.id})

    def update(self, properties: Properties) -> bool:
        """Its description alone can change."""
        return bool(properties["RestApiId"] == self.properties["RestApiId"])

    def remove(self) -> None:
        """DeleteDeployment."""
        client("apigateway", self.region).delete_deployment(
            restApiId=self.properties["RestApiId"], deploymentId=self.physical_resource_id
        )
