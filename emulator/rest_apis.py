"""API Gateway's REST APIs, as their deployed OpenAPI documents say."""

from collections.abc import Iterator
from typing import Any

from moto.apigateway.models import APIGatewayBackend, RestAPI, Stage, UsagePlan, apigateway_backends

from emulator import settings
from emulator.events import Event, HttpRequest, HttpResponse
from emulator.rest_events import RestTarget, to_event, to_response, to_streamed_response
from emulator.routed import Caller, Refused, Routed, Words, function_arn
from emulator.routes import best
from emulator.throttles import Allowance, Limit

Document = dict[str, Any]
_METHODS = {"x-amazon-apigateway-any-method": "ANY"}
# Without a security scheme an operation is open; other schemes are refused when the API is made.
SCHEMES = {"awsSigv4": "AWS_IAM", "apiKey": "API_KEY"}


class RestApi:
    """One REST API. What its document says counts from its next deployment on, as in AWS."""

    WORDS = Words(
        failed=(502, "Internal server error"),
        late=(504, "Endpoint request timed out"),
        throttled=(502, "Internal server error"),
        too_large=(413, "Request Too Long"),
        unsigned=(403, "Missing Authentication Token"),
    )

    def __init__(self, region: str, backend: APIGatewayBackend, api: RestAPI) -> None:
        self._region = region
        self._backend = backend
        self._api = api

    @classmethod
    def find(cls, api_id: str) -> "RestApi | None":
        """The API with this id, in whichever region."""
        for region, backend in apigateway_backends[settings.ACCOUNT].items():
            if api_id in backend.apis:
                return cls(region, backend, backend.apis[api_id])
        return None

    def route(self, request: HttpRequest, path: str) -> Routed:
        """Where the request goes.

        Raises:
            Refused: there is no such stage, path or method, or the API key is missing or unknown.
        """
        name, _, rest = path[1:].partition("/")
        stage, path = self._api.stages.get(name), f"/{rest}"
        if stage is None:
            raise Refused(403, "Forbidden")
        document = deployed_document(self._api, stage)
        match = best(_operations(document), request.method, path)
        if match is None:
            raise Refused(403, "Missing Authentication Token")
        method, resource, operation = match.route
        integration = operation["x-amazon-apigateway-integration"]
        authorization = _authorization(document, operation)
        limits = self._limits(stage, resource, method)
        allowances: tuple[Allowance, ...] = ()
        if authorization == "API_KEY":
            limits, allowances = self._use_key(request.headers.get("x-api-key", ""), name, limits)
        types = document.get("x-amazon-apigateway-binary-media-types", [])
        target = RestTarget(
            self._api.id, name, resource, path, match.parameters, tuple(types), stage.variables or {}
        )

        def event(request: HttpRequest, caller: Caller) -> Event:
            return to_event(request, target, caller.access_key)

        wildcard = "*" if method == "ANY" else method
        return Routed(
            function_arn=function_arn(integration["uri"]),
            source_arn=f"arn:aws:execute-api:{self._region}:{settings.ACCOUNT}:"
            f"{self._api.id}/{name}/{wildcard}{resource}",
            authorization=authorization,
            issuer=None,
            limits=limits,
            allowances=allowances,
            timeout_seconds=integration.get("timeoutInMillis", 29_000) / 1000,
            event=event,
            response=to_streamed_response
            if integration.get("responseTransferMode") == "STREAM"
            else to_response,
        )

    def preflight(self, request: HttpRequest, path: str) -> HttpResponse | None:
        """What a method of its own answers, one without a function behind it."""
        name, _, rest = path[1:].partition("/")
        stage = self._api.stages.get(name)
        if request.method != "OPTIONS" or stage is None:
            return None
        match = best(_operations(deployed_document(self._api, stage)), request.method, f"/{rest}")
        integration = {} if match is None else match.route[2]["x-amazon-apigateway-integration"]
        if integration.get("type") != "mock":
            return None
        answer = integration["responses"]["default"]
        headers = _headers(answer["responseParameters"], "method.response.header.")
        return HttpResponse(int(answer["statusCode"]), b"", headers)

    def refusal_headers(self, path: str) -> list[tuple[str, str]]:
        """With what the API's own errors are sent."""
        stage = self._api.stages.get(path[1:].partition("/")[0])
        document = {} if stage is None else deployed_document(self._api, stage)
        responses = document.get("x-amazon-apigateway-gateway-responses", {})
        # Both kinds are told the same here.
        return _headers(
            responses.get("DEFAULT_4XX", {}).get("responseParameters", {}), "gatewayresponse.header."
        )

    def cors_headers(self, _request: HttpRequest) -> list[tuple[str, str]]:
        """None: they are the function's matter."""
        return []

    def _limits(self, stage: Stage, resource: str, method: str) -> tuple[Limit, ...]:
        """The method's own settings, else the stage's for all methods together."""
        escaped = resource.replace("/", "~1")
        for key in (f"{escaped}/{method}", "*/*"):
            if key in stage.method_settings:
                found = stage.method_settings[key]
                name = f"{self._api.id}/{stage.name}/{key}"
                return (Limit(name, found["throttlingRateLimit"], found["throttlingBurstLimit"]),)
        return ()

    def _use_key(
        self, value: str, stage: str, limits: tuple[Limit, ...]
    ) -> tuple[tuple[Limit, ...], tuple[Allowance, ...]]:
        """What the key's usage plan adds."""
        for plan, key_id in self._plans(stage):
            key = self._backend.keys.get(key_id)
            if key is None or key.value != value or not key.enabled:
                continue
            name = f"{plan.id}/{key_id}"
            if plan.throttle:
                limits += (Limit(name, plan.throttle["rateLimit"], plan.throttle["burstLimit"]),)
            quota = plan.quota
            return limits, (Allowance(name, int(quota["limit"]), quota["period"]),) if quota else ()
        raise Refused(403, "Forbidden")

    def _plans(self, stage: str) -> Iterator[tuple[UsagePlan, str]]:
        """The usage plans of the stage, with each of their keys."""
        for plan in self._backend.usage_plans.values():
            if {"apiId": self._api.id, "stage": stage} in [
                {key: one[key] for key in ("apiId", "stage")} for one in plan.api_stages
            ]:
                for key_id in self._backend.usage_plan_keys.get(plan.id, {}):
                    yield plan, key_id


def deployed_document(api: RestAPI, stage: Stage) -> Document:
    """The document as it was when the stage's deployment was made (AWS::ApiGateway::Deployment keeps it)."""
    deployment: Any = api.deployments[str(stage.deployment_id)]
    document: Document = deployment.document
    return document


def _operations(document: Document) -> Iterator[tuple[str, str, tuple[str, str, Document]]]:
    for path, item in document["paths"].items():
        for key, operation in item.items():
            method = _METHODS.get(key, key.upper())
            yield method, path, (method, path, operation)


def _headers(parameters: Document, prefix: str) -> list[tuple[str, str]]:
    """The headers that parameters map, which are texts in quotes."""
    return [(key.removeprefix(prefix).lower(), value.strip("'")) for key, value in parameters.items()]


def _authorization(document: Document, operation: Document) -> str:
    everywhere: list[Document] = document.get("security", [])
    for requirement in operation.get("security", everywhere):
        for name in requirement:
            scheme = document["components"]["securitySchemes"][name]
            return SCHEMES[scheme.get("x-amazon-apigateway-authtype", scheme["type"])]
    return "NONE"
