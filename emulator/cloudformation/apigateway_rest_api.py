"""AWS::ApiGateway::RestApi, described by an OpenAPI document."""

from typing import Any, Self

from moto.apigateway.models import apigateway_backends

from emulator import settings
from emulator.clients import client
from emulator.cloudformation.resource import Properties, Resource
from emulator.rest_apis import SCHEMES


class RestApi(Resource):
    """A REST API.

    moto's import forgets keys and authorisation, so the document is kept as it is, and the gateway reads it.
    """

    TYPE = "AWS::ApiGateway::RestApi"
    ATTRIBUTES = frozenset({"RestApiId", "RootResourceId"})

    @classmethod
    def create(cls, name: str, properties: Properties, region: str) -> Self:  # noqa: ARG003 - has a name
        """CreateRestApi and PutRestApi."""
        document = _checked(properties)
        rest_api = client("apigateway", region).create_rest_api(name=properties["Name"])
        api_id = rest_api["id"]
        _backend_api(region, api_id).document = document
        attributes = {"RestApiId": api_id, "RootResourceId": rest_api["rootResourceId"]}
        return cls(api_id, region, properties, attributes)

    def update(self, properties: Properties) -> bool:
        """PutRestApi: what is deployed stays until the next deployment."""
        document = _checked(properties)
        api = _backend_api(self.region, self.physical_resource_id)
        if properties.get("Mode") != "overwrite":
            document = {**document, "paths": {**api.document["paths"], **document["paths"]}}
        api.document = document
        return True

    def remove(self) -> None:
        """DeleteRestApi."""
        client("apigateway", self.region).delete_rest_api(restApiId=self.physical_resource_id)


def _backend_api(region: str, api_id: str) -> Any:
    return apigateway_backends[settings.ACCOUNT][region].get_rest_api(api_id)


def _checked(properties: Properties) -> Properties:
    document: Properties | None = properties.get("Body")
    if not isinstance(document, dict) or not document.get("paths"):
        raise NotImplementedError("The emulator serves REST APIs that have an OpenAPI Body with paths.")
    for name, scheme in document.get("components", {}).get("securitySchemes", {}).items():
        kind = scheme.get("x-amazon-apigateway-authtype", scheme.get("type"))
        if kind not in SCHEMES:
            raise NotImplementedError(
                f"The emulator cannot check the security scheme {name} ({kind}) of a REST API: "
                f"use one of {', '.join(SCHEMES)} here."
            )
    for path, item in document["paths"].items():
        for method, operation in item.items():
            kind = operation.get("x-amazon-apigateway-integration", {}).get("type")
            if kind != "aws_proxy" and (kind, method) != ("mock", "options"):
                raise NotImplementedError(
                    f"The emulator serves aws_proxy integrations, and mock for options, not {kind} "
                    f"({method} {path})."
                )
    return document
