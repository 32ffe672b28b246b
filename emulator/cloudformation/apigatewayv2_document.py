"""An HTTP API's OpenAPI document: what ImportApi and ReimportApi make of it."""

from typing import Any

from moto.apigatewayv2.models import Api, apigatewayv2_backends

from emulator import settings
from emulator.clients import client
from emulator.cloudformation.resource import Properties

ANY_METHOD = "x-amazon-apigateway-any-method"
_INTEGRATION = "x-amazon-apigateway-integration"
_SHARED = "#/components/x-amazon-apigateway-integrations/"


def properties_of(document: Properties) -> Properties:
    """The API's own, as CreateApi takes them."""
    info = document["info"]
    found: Properties = {
        "Name": info["title"],
        "ProtocolType": "HTTP",
        "Description": info.get("description", ""),
        "Version": info["version"],
        "Tags": {tag["name"]: tag["x-amazon-apigateway-tag-value"] for tag in document.get("tags", [])},
    }
    if cors := document.get("x-amazon-apigateway-cors"):
        found["CorsConfiguration"] = {f"{key[0].upper()}{key[1:]}": value for key, value in cors.items()}
    return found


def import_routes(api_id: str, region: str, document: Properties) -> None:
    """Make the API's routes, integrations and authorizers those of the document, and no others.

    moto's own import forgets authorizers and "any method", and takes the stages away.
    """
    operations = [
        (f"{'ANY' if method == ANY_METHOD else method.upper()} {path}", operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
    ]
    schemes = document.get("components", {}).get("securitySchemes", {})
    for key, operation in operations:
        _check(key, operation, document, schemes)
    api = backend_api(region, api_id)
    before = [(made, list(made)) for made in (api.routes, api.integrations, api.authorizers)]
    _Import(api_id, region, document).make(operations)
    # Last, so that requests meanwhile find their way.
    for made, ids in before:
        for one in ids:
            del made[one]


def backend_api(region: str, api_id: str) -> Api:
    """What moto keeps of the API."""
    return apigatewayv2_backends[settings.ACCOUNT][region].get_api(api_id)


class _Import:
    def __init__(self, api_id: str, region: str, document: Properties) -> None:
        self._client = client("apigatewayv2", region)
        self._api_id = api_id
        self._document = document
        self._integrations: dict[str, str] = {}
        self._authorizers: dict[str, str] = {}

    def make(self, operations: list[tuple[str, Properties]]) -> None:
        for key, operation in operations:
            self._client.create_route(
                ApiId=self._api_id,
                RouteKey=key,
                Target=f"integrations/{self._integration(operation[_INTEGRATION])}",
                **self._authorization(operation),
            )

    def _integration(self, stated: Properties) -> str:
        """Its id; of one that several routes share, always the same."""
        shared = stated.get("$ref", "")
        if shared in self._integrations:
            return self._integrations[shared]
        content = _resolved(stated, self._document)
        made: str = self._client.create_integration(
            ApiId=self._api_id,
            IntegrationType="AWS_PROXY",
            IntegrationUri=content["uri"],
            PayloadFormatVersion=content["payloadFormatVersion"],
        )["IntegrationId"]
        if shared:
            self._integrations[shared] = made
        return made

    def _authorization(self, operation: Properties) -> dict[str, Any]:
        schemes = [name for requirement in operation.get("security", []) for name in requirement]
        if not schemes:
            return {"AuthorizationType": "NONE"}
        (name,) = schemes
        scheme = self._document["components"]["securitySchemes"][name]
        if "x-amazon-apigateway-authtype" in scheme:
            return {"AuthorizationType": "AWS_IAM"}
        if name not in self._authorizers:
            authorizer = scheme["x-amazon-apigateway-authorizer"]
            self._authorizers[name] = self._client.create_authorizer(
                ApiId=self._api_id,
                AuthorizerType="JWT",
                IdentitySource=[authorizer["identitySource"]],
                JwtConfiguration={
                    "Issuer": authorizer["jwtConfiguration"]["issuer"],
                    "Audience": authorizer["jwtConfiguration"]["audience"],
                },
                Name=name,
            )["AuthorizerId"]
        return {"AuthorizationType": "JWT", "AuthorizerId": self._authorizers[name]}


def _check(key: str, operation: Properties, document: Properties, schemes: Properties) -> None:
    integration = _resolved(operation.get(_INTEGRATION, {}), document)
    kind = (integration.get("type"), integration.get("payloadFormatVersion"))
    if kind != ("aws_proxy", "2.0"):
        raise NotImplementedError(
            f"The emulator serves aws_proxy integrations with payload format 2.0, "
            f"not {kind[0]} with {kind[1]} ({key})."
        )
    for name in [name for requirement in operation.get("security", []) for name in requirement]:
        scheme = schemes[name]
        kinds = (
            scheme.get("x-amazon-apigateway-authtype"),
            scheme.get("x-amazon-apigateway-authorizer", {}).get("type"),
        )
        if kinds not in (("awsSigv4", None), (None, "jwt")):
            raise NotImplementedError(
                f"The emulator cannot check the security scheme {name} of {key}: use awsSigv4 or jwt here."
            )


def _resolved(stated: Properties, document: Properties) -> Properties:
    reference: str = stated.get("$ref", "")
    if not reference:
        return stated
    shared: Properties = document["components"]["x-amazon-apigateway-integrations"]
    return shared[reference.removeprefix(_SHARED)]  # type: ignore[no-any-return]
