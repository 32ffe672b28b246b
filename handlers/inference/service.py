"""The transport-free core: a Request in, a Response out, whatever the request is."""

from handlers.inference import log
from handlers.inference.encodings import compress, inflate
from handlers.inference.errors import NotFound, RequestError, TransformError, UnsupportedMediaType
from handlers.inference.messages import Request, Response, json_response
from handlers.inference.routes import CPU_HEADER, UPLOAD_HEADER, dispatch, routes_with, unquoted

TYPE_CHECKING = False  # typing itself costs a cold start 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Self

    from handlers.inference.dataplane import Model
    from handlers.inference.transform import Transformed
    from handlers.inference.uploads import Uploads

# TensorFlow Serving looks at no media type, and `curl -d` says it sends a form. So only what is certainly not
# JSON or tensors is refused.
_MEDIA_TYPES = frozenset(
    {"", "application/json", "application/octet-stream", "application/x-www-form-urlencoded", "text/plain"}
)


class Service:
    """One loaded model behind both protocols.

    ``answer`` may be called from several threads at once.

    Args:
        model: what answers.
        transform: the user's own route beside the protocols. None: there is none.
        uploads: gives the place for bodies that are too large to be sent. None: there is none.
    """

    def __init__(
        self,
        model: "Model",
        transform: "Transformed | None" = None,
        uploads: "Callable[[], Uploads] | None" = None,
    ) -> None:
        self.model = model
        self.transform = transform
        self._uploads = uploads
        self._routes = routes_with(
            None if transform is None else transform.answer,
            None if uploads is None else lambda model, request: uploads().create(model, request),
        )

    @classmethod
    def from_folder(
        cls,
        folder: "Path",
        *,
        name: str | None = None,
        version: str = "1",
        threads: int = 1,
        transform: str | None = None,
    ) -> "Self":
        """Serve the bundle in ``folder``, verified; ``name`` and ``version`` are those of its URLs.

        ``transform`` names the user's class, as ``package.module:Class``.

        Raises:
            InitError: the folder holds no bundle that this release serves, or there is no such transform; one
                sentence says why.
        """
        from handlers.inference.loading import load  # noqa: PLC0415 - Lambda's entry loads on its own
        from handlers.inference.settings import Settings  # noqa: PLC0415

        settings = Settings(
            model=name, version=version, digest=None, bucket=None, folder=folder, threads=threads
        )
        model = load(settings, {})
        if transform is None:
            return cls(model)
        from handlers.inference.transform import load_transform  # noqa: PLC0415 - most models have none

        return cls(model, transform=load_transform(transform, model))

    def answer(self, request: Request) -> Response:
        """The answer; an error is ``{"error": "one sentence"}``. Raises nothing."""
        response = self._answer(request)
        if CPU_HEADER in request.headers:
            from handlers.inference.cpu import describe  # noqa: PLC0415 - few requests ask

            response.headers[CPU_HEADER] = describe()
        return response

    def _answer(self, request: Request) -> Response:
        try:
            response = dispatch(self.model, self._prepared(request), self._routes)
            return compress(response, request.headers.get("accept-encoding"))
        except RequestError as error:
            return error_response(error)
        except TransformError as error:
            log.say(str(error))
        except Exception as error:  # noqa: BLE001 - one failing request must not take the server down
            log.say(f"a request failed with {type(error).__name__} at {log.place_of(error)}")
        return json_response({"error": "The request failed inside the server; its log says where."}, 500)

    def _prepared(self, request: Request) -> Request:
        """Decode the path's percent signs and the body's encoding; refuse media types that none can mean."""
        method, path, body = request.method.upper(), unquoted(request.path), request.body
        if method == "POST":
            media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            is_read = media_type in _MEDIA_TYPES or media_type.endswith("+json")
            # What the user's transform reads, it says itself.
            if not is_read and not (self.transform and path.endswith(":transform")):
                raise UnsupportedMediaType(f"the body is declared as {media_type}: send application/json.")
            if UPLOAD_HEADER in request.headers:
                body = self._uploaded(request)
            body = inflate(body, request.headers.get("content-encoding"))
        return Request(method, path, request.query, request.headers, body, route=request.route)

    def _uploaded(self, request: Request) -> bytes:
        if self._uploads is None:
            raise NotFound("this endpoint has no uploads, because it has no bucket: send the body itself.")
        if request.body:
            raise RequestError(
                f"the request has a body and names an upload in {UPLOAD_HEADER}: send one of them."
            )
        return self._uploads().read(request.headers[UPLOAD_HEADER])


def error_response(error: RequestError) -> Response:
    """A refused request's answer; what the client sent is quoted without its control characters."""
    sentence = "".join(letter if letter.isprintable() else "?" for letter in str(error))
    return json_response({"error": sentence}, error.status, error.headers)
