"""Which path and method is answered by what."""

from handlers.inference.errors import MethodNotAllowed, NotFound
from handlers.inference.protocols import oip, tfserving

TYPE_CHECKING = False  # typing itself costs a cold start 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable

    from handlers.inference.dataplane import Model
    from handlers.inference.messages import Request, Response

    Endpoint = Callable[[Model, Request], Response]


def _openapi(
    model: "Model", _request: "Request", *, has_transform: bool = False, has_uploads: bool = False
) -> "Response":
    from handlers.inference.description.document import openapi  # noqa: PLC0415 - no cold start pays for it

    return openapi(model, has_transform=has_transform, has_uploads=has_uploads)


def _docs(model: "Model", _request: "Request", *, has_transform: bool = False) -> "Response":
    from handlers.inference.description.page import docs  # noqa: PLC0415 - as above

    return docs(model, has_transform=has_transform)


# {model} is NAME or NAME/versions/VERSION, and of TensorFlow Serving NAME/labels/LABEL as well.
ROUTES: "dict[str, tuple[str, Endpoint]]" = {
    # TensorFlow Serving
    "/v1/models/{model}": ("GET", tfserving.status),
    "/v1/models/{model}/metadata": ("GET", tfserving.metadata),
    "/v1/models/{model}:predict": ("POST", tfserving.predict),
    "/v1/models/{model}:classify": ("POST", tfserving.classify),
    "/v1/models/{model}:regress": ("POST", tfserving.regress),
    # Open Inference Protocol v2
    "/v2": ("GET", oip.server),
    "/v2/health/live": ("GET", oip.live),
    "/v2/health/ready": ("GET", oip.ready),
    "/v2/models/{model}": ("GET", oip.metadata),
    "/v2/models/{model}/ready": ("GET", oip.model_ready),
    "/v2/models/{model}/infer": ("POST", oip.infer),
    # Triton's model repository extension, as far as it asks only
    "/v2/repository/index": ("POST", oip.index),
    # The model's description
    "/openapi.json": ("GET", _openapi),
    "/docs": ("GET", _docs),
}
# Names a body that was too large to be sent (uploads.py).
UPLOAD_HEADER = "coldpress-upload"
# A request that has it is told the CPU that answered, in the answer's header of the same name (cpu.py).
CPU_HEADER = "coldpress-cpu"
_INFERENCES = ("/infer", ":predict", ":classify", ":regress", ":transform")
_MODELS = ("/v1/models/", "/v2/models/")


def routes_with(
    transform: "Endpoint | None" = None, create_upload: "Endpoint | None" = None
) -> "dict[str, tuple[str, Endpoint]]":
    """The table with the user's own route (transform.py) and that of uploads, which are described as well."""
    own: dict[str, tuple[str, Endpoint]] = {}
    if transform is not None:
        own["/v1/models/{model}:transform"] = "POST", transform
    if create_upload is not None:
        own["/v2/models/{model}/uploads"] = "POST", create_upload
    has_transform, has_uploads = transform is not None, create_upload is not None

    def describe(model: "Model", request: "Request") -> "Response":
        return _openapi(model, request, has_transform=has_transform, has_uploads=has_uploads)

    def show(model: "Model", request: "Request") -> "Response":
        return _docs(model, request, has_transform=has_transform)

    return ROUTES | own | {"/openapi.json": ("GET", describe), "/docs": ("GET", show)}


def dispatch(
    model: "Model",
    request: "Request",
    routes: "dict[str, tuple[str, Endpoint]]" = ROUTES,
) -> "Response":
    """Answer by the route table.

    Raises:
        NotFound: no such path, model, version or label.
        MethodNotAllowed: the path has another method.
        RequestError: what the endpoint raises.
    """
    asked = _Asked(request.path)
    if asked.route not in routes:
        raise NotFound(
            f"there is no {request.path[:200]} here: the model is at /v1/models/{model.name} (TensorFlow "
            f"Serving) and /v2/models/{model.name} (Open Inference Protocol)."
        )
    _check_names(model, asked, request.route)
    method, endpoint = routes[asked.route]
    if request.method != method:
        raise MethodNotAllowed(f"{request.path} takes {method}, not {request.method[:20]}.", method)
    return endpoint(model, request)


def unquoted(path: str) -> str:
    """Percent signs decoded; what is no UTF-8 then, or no number, stays as it is."""
    if "%" not in path:
        return path
    first, *parts = path.encode(errors="surrogatepass").split(b"%")
    decoded = [first]
    for part in parts:
        try:
            decoded.append(bytes.fromhex(part[:2].decode()) + part[2:] if len(part) > 1 else b"%" + part)
        except ValueError:
            decoded.append(b"%" + part)
    return b"".join(decoded).decode(errors="replace")


def is_inference(request: "Request") -> bool:
    """Whether it asks for what the model makes of its body; such requests can be asked again."""
    return request.method == "POST" and unquoted(request.path).endswith(_INFERENCES)


class _Asked:
    """A path as its route, and the names in it (None: the path has no such name)."""

    def __init__(self, path: str) -> None:
        self.model: str | None = None
        self.version: str | None = None
        self.label: str | None = None
        self.route = "/v2" if path == "/v2/" else path
        if not path.startswith(_MODELS):
            return
        prefix = path[: len(_MODELS[0])]
        self.model, rest = _cut(path.removeprefix(prefix))
        if rest.startswith("/versions/"):
            self.version, rest = _cut(rest.removeprefix("/versions/"))
        elif rest.startswith("/labels/") and prefix == _MODELS[0]:
            self.label, rest = _cut(rest.removeprefix("/labels/"))
        is_complete = "" not in (self.model, self.version, self.label)
        self.route = f"{prefix}{{model}}{rest}" if is_complete else path


def _cut(text: str) -> tuple[str, str]:
    """A name, which ends at ``/`` or ``:``, and the rest."""
    name = text.partition("/")[0].partition(":")[0]
    return name, text[len(name) :]


def _check_names(model: "Model", asked: _Asked, route: str) -> None:
    if asked.model is not None and asked.model != model.name:
        raise NotFound(f"there is no model '{asked.model[:100]}' here: this endpoint serves '{model.name}'.")
    if asked.version is not None and asked.version != model.version:
        raise NotFound(
            f"there is no version '{asked.version[:100]}' of '{model.name}' here: this endpoint serves "
            f"version '{model.version}'."
        )
    # Which version has a label, the API knows: where a label has its own route, that leads to its version.
    if asked.label is not None and asked.label != _Asked(route).label:
        raise NotFound(
            f"there is no label '{asked.label[:100]}' of '{model.name}' here: this endpoint serves version "
            f"'{model.version}'."
        )
