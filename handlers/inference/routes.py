"""Which path and method is answered by what."""

import re
from collections.abc import Callable

import msgspec

from handlers.inference.dataplane import Model
from handlers.inference.errors import MethodNotAllowed, NotFound
from handlers.inference.messages import Request, Response
from handlers.inference.protocols import oip, tfserving

Endpoint = Callable[[Model, Request], Response]


class Route(msgspec.Struct, frozen=True):
    """One path with its one method."""

    method: str
    path: re.Pattern[str]
    endpoint: Endpoint


def _route(method: str, path: str, endpoint: Endpoint) -> Route:
    path = path.replace("{model}", r"(?P<model>[^/:]+)(?:/versions/(?P<version>[^/:]+))?")
    return Route(method, re.compile(path), endpoint)


# {model} is /NAME or /NAME/versions/VERSION.
ROUTES = (
    # TensorFlow Serving
    _route("GET", "/v1/models/{model}", tfserving.status),
    _route("GET", "/v1/models/{model}/metadata", tfserving.metadata),
    _route("POST", "/v1/models/{model}:predict", tfserving.predict),
    # Open Inference Protocol v2
    _route("GET", "/v2/?", oip.server),
    _route("GET", "/v2/health/live", oip.live),
    _route("GET", "/v2/health/ready", oip.ready),
    _route("GET", "/v2/models/{model}", oip.metadata),
    _route("GET", "/v2/models/{model}/ready", oip.model_ready),
    _route("POST", "/v2/models/{model}/infer", oip.infer),
)


def dispatch(model: Model, request: Request) -> Response:
    """Answer by the route table.

    Raises:
        NotFound: no such path, model or version.
        MethodNotAllowed: the path has other methods.
        RequestError: what the endpoint raises.
    """
    matches = [(route, match) for route in ROUTES if (match := route.path.fullmatch(request.path))]
    if not matches:
        raise NotFound(
            f"there is no {request.path[:200]} here: the model is at /v1/models/{model.name} (TensorFlow "
            f"Serving) and /v2/models/{model.name} (Open Inference Protocol)."
        )
    _check_names(model, matches[0][1].groupdict())
    for route, _ in matches:
        if route.method == request.method:
            return route.endpoint(model, request)
    allow = ", ".join(route.method for route, _ in matches)
    raise MethodNotAllowed(f"{request.path} takes {allow}, not {request.method[:20]}.", allow)


def _check_names(model: Model, asked: dict[str, str | None]) -> None:
    name, version = asked.get("model"), asked.get("version")
    if name is not None and name != model.name:
        raise NotFound(f"there is no model '{name[:100]}' here: this endpoint serves '{model.name}'.")
    if version is not None and version != model.version:
        raise NotFound(
            f"there is no version '{version[:100]}' of '{model.name}' here: this endpoint serves version "
            f"'{model.version}'."
        )
