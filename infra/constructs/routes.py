"""Which of an API's paths belong to a model, where several models share the API."""

from infra.config import EndpointConfig

ANY_PATH = "/{proxy+}"
# Of the endpoint, and of no model: who asks for them may ask for any model.
MODELLESS = ("/v2", "/v2/*", "/openapi.json", "/docs")
_VERBS = ("predict", "classify", "regress")


def other_routes() -> list[tuple[str, str]]:
    """Methods and paths of whatever no model's own routes take."""
    return [("GET", ANY_PATH), ("POST", ANY_PATH)]


def model_routes(model: str, *, has_transform: bool) -> list[tuple[str, str]]:
    """Methods and paths of one model.

    TensorFlow Serving hangs its verbs on a model's name by a colon, which ends no path segment: so each is a
    route of its own, and no other model's name can be mistaken for one.
    """
    v1, v2 = f"/v1/models/{model}", f"/v2/models/{model}"
    verbs = (*_VERBS, "transform") if has_transform else _VERBS
    return [
        ("GET", v1),
        *(("POST", f"{v1}:{verb}") for verb in verbs),
        *((method, f"{v1}{path}") for method, path in other_routes()),
        ("GET", v2),
        *((method, f"{v2}{path}") for method, path in other_routes()),
    ]


def endpoint_routes(config: EndpointConfig, *, is_first: bool) -> list[tuple[str, str]]:
    """Methods and paths of the configuration's model; an API's first one takes what no other's do."""
    if is_first:
        return other_routes()
    return model_routes(config.model.name, has_transform=config.transform is not None)


def version_routes(config: EndpointConfig, version: int) -> list[tuple[str, str]]:
    """Methods and paths of one of the model's earlier versions."""
    path = version_path(config.model.name, version)
    return model_routes(path, has_transform=config.transform is not None)


def version_path(model: str, version: int) -> str:
    """What stands in a model's place in the paths of one of its versions."""
    return f"{model}/versions/{version}"


def model_paths(model: str) -> list[str]:
    """What an IAM policy names for one model: its paths, with wildcards for what hangs on them."""
    v1, v2 = f"/v1/models/{model}", f"/v2/models/{model}"
    return [v1, f"{v1}:*", f"{v1}/*", v2, f"{v2}/*"]
