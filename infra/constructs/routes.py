"""Which of an API's paths belong to a model, where several models share the API."""

from infra.config import EndpointConfig, Model

ANY_PATH = "/{proxy+}"
_V1 = "/v1/models/"
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
    v1, v2 = f"{_V1}{model}", f"/v2/models/{model}"
    verbs = (*_VERBS, "transform") if has_transform else _VERBS
    return [
        ("GET", v1),
        *(("POST", f"{v1}:{verb}") for verb in verbs),
        *((method, f"{v1}{path}") for method, path in other_routes()),
        ("GET", v2),
        *((method, f"{v2}{path}") for method, path in other_routes()),
    ]


def any_method(routes: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Each path once, for every method: where no preflight must pass by unsigned."""
    return [("ANY", path) for path in dict.fromkeys(path for _, path in routes)]


def endpoint_routes(config: EndpointConfig, *, is_first: bool) -> list[tuple[str, str]]:
    """Methods and paths of the configuration's model; an API's first one takes what no other's do."""
    model, has_transform = config.model, config.transform is not None
    own = other_routes() if is_first else model_routes(model.name, has_transform=has_transform)
    return own + _label_routes(model, model.version, has_transform=has_transform)


def version_routes(config: EndpointConfig, version: int) -> list[tuple[str, str]]:
    """Methods and paths of one of the model's earlier versions, by its number and by its labels."""
    model, has_transform = config.model, config.transform is not None
    own = model_routes(version_path(model.name, version), has_transform=has_transform)
    return own + _label_routes(model, version, has_transform=has_transform)


def _label_routes(model: Model, version: int, *, has_transform: bool) -> list[tuple[str, str]]:
    """Methods and paths of the labels of one version; only TensorFlow Serving has any.

    The handler takes a label from the route that brought a request to it, and from nowhere else.
    """
    return [
        route
        for label in model.labels_of(version)
        for route in model_routes(f"{model.name}/labels/{label}", has_transform=has_transform)
        if route[1].startswith(_V1)
    ]


def version_path(model: str, version: int) -> str:
    """What stands in a model's place in the paths of one of its versions."""
    return f"{model}/versions/{version}"


def model_paths(model: str) -> list[str]:
    """What an IAM policy names for one model: its paths, with wildcards for what hangs on them."""
    v1, v2 = f"/v1/models/{model}", f"/v2/models/{model}"
    return [v1, f"{v1}:*", f"{v1}/*", v2, f"{v2}/*"]
