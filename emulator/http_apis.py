"""API Gateway's HTTP APIs, as they stand in moto."""

from dataclasses import replace
from typing import Any

from moto.apigatewayv2.models import Api, Route, apigatewayv2_backends

from emulator import settings
from emulator.events import Event, HttpRequest, HttpResponse, Target, to_event, to_response
from emulator.routed import Caller, Refused, Routed, Words, function_arn
from emulator.routes import Match, best
from emulator.throttles import Limit
from emulator.tokens import Issuer


class HttpApi:
    """One HTTP API."""

    WORDS = Words(
        failed=(500, "Internal Server Error"),
        late=(503, "Service Unavailable"),
        throttled=(503, "Service Unavailable"),
        too_large=(413, "Request Entity Too Large"),
        unsigned=(403, "Forbidden"),
    )

    def __init__(self, region: str, api: Api) -> None:
        self._region = region
        self._api = api

    @classmethod
    def find(cls, api_id: str) -> "HttpApi | None":
        """The API with this id, in whichever region."""
        for region, backend in apigatewayv2_backends[settings.ACCOUNT].items():
            if api_id in backend.apis:
                return cls(region, backend.apis[api_id])
        return None

    def route(self, request: HttpRequest, path: str) -> Routed:
        """Where the request goes.

        Raises:
            Refused: there is no such stage or route.
        """
        stage, path = self._stage(path)
        match = self._match(request.method, path)
        if stage is None or match is None:
            raise Refused(404, "Not Found")
        route = match.route
        integration = self._api.integrations[route.target.removeprefix("integrations/")]

        def event(request: HttpRequest, caller: Caller) -> Event:
            target = Target(
                api_id=self._api.api_id,
                stage=stage.name,
                route_key=route.route_key,
                path_parameters=match.parameters,
                stage_variables=stage.stage_variables or {},
                access_key=caller.access_key,
                claims=caller.claims,
            )
            # With a named stage the event's path begins with it, as in AWS.
            seen = path if stage.name == "$default" else f"/{stage.name}{path}"
            return to_event(replace(request, raw_path=seen), target)

        return Routed(
            function_arn=function_arn(integration.integration_uri),
            source_arn=self._source_arn(stage.name, route),
            authorization=route.authorization_type or "NONE",
            issuer=self._issuer(route),
            limits=self._limits(stage, route),
            allowances=(),
            timeout_seconds=(integration.timeout_in_millis or 30_000) / 1000,
            event=event,
            response=to_response,
        )

    def preflight(self, request: HttpRequest, path: str) -> HttpResponse | None:
        """The answer to a browser's question before a request, if the API has CORS and no route takes it."""
        asks = request.method == "OPTIONS" and "access-control-request-method" in request.headers
        _, path = self._stage(path)
        if not asks or not self._api.cors_configuration or self._match("OPTIONS", path):
            return None
        cors: Any = self._api.cors_configuration
        headers = self.cors_headers(request)
        if headers:
            headers += [
                ("access-control-allow-methods", ",".join(cors.get("allowMethods", []))),
                ("access-control-allow-headers", ",".join(cors.get("allowHeaders", []))),
                ("access-control-max-age", str(cors.get("maxAge", 0))),
            ]
        return HttpResponse(204, b"", headers)

    def refusal_headers(self, _path: str) -> list[tuple[str, str]]:
        """None of their own: ``cors_headers`` are those of every answer."""
        return []

    def cors_headers(self, request: HttpRequest) -> list[tuple[str, str]]:
        """What every answer to a page of an allowed origin carries."""
        cors: dict[str, Any] = self._api.cors_configuration or {}  # type: ignore[assignment]
        origin, allowed = request.headers.get("origin"), cors.get("allowOrigins", [])
        if origin is None or not {"*", origin} & set(allowed):
            return []
        headers = [("access-control-allow-origin", "*" if "*" in allowed else origin)]
        if cors.get("exposeHeaders"):
            headers.append(("access-control-expose-headers", ",".join(cors["exposeHeaders"])))
        return headers

    def _stage(self, path: str) -> tuple[Any, str]:
        """The stage that the path names, else the default one; and the path without it."""
        name, _, rest = path[1:].partition("/")
        if name in self._api.stages:
            return self._api.stages[name], f"/{rest}"
        return self._api.stages.get("$default"), path

    def _match(self, method: str, path: str) -> Match[Route] | None:
        """The most specific route; $default takes what no other does."""
        routes = [(*route.route_key.partition(" ")[::2], route) for route in self._api.routes.values()]
        found = best((one for one in routes if one[0] != "$default"), method, path)
        default = next((route for key, _, route in routes if key == "$default"), None)
        return found or (Match((), default, {}) if default else None)

    def _issuer(self, route: Route) -> Issuer | None:
        if route.authorization_type != "JWT":
            return None
        configuration: Any = self._api.get_authorizer(route.authorizer_id or "").jwt_config
        return Issuer(configuration["issuer"], tuple(configuration["audience"]))

    def _limits(self, stage: Any, route: Route) -> tuple[Limit, ...]:
        """The route's own settings, else the stage's for each route."""
        for settings_ in ((stage.route_settings or {}).get(route.route_key), stage.default_route_settings):
            if settings_ and "throttlingRateLimit" in settings_:
                name = f"{self._api.api_id}/{stage.name}/{route.route_key}"
                return (Limit(name, settings_["throttlingRateLimit"], settings_["throttlingBurstLimit"]),)
        return ()

    def _source_arn(self, stage: str, route: Route) -> str:
        method, _, path = route.route_key.partition(" ")
        resource = f"{'*' if method == 'ANY' else method}{path}" if path else route.route_key
        return f"arn:aws:execute-api:{self._region}:{settings.ACCOUNT}:{self._api.api_id}/{stage}/{resource}"
