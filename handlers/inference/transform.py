"""The user's own code around the model: any request to tensors, tensors to any response.

Whatever that code does, the environment lives on: what it raises, or gives back wrongly, fails one request.
"""

import sys

from handlers.inference import log
from handlers.inference.errors import InitError, RequestError, TransformError
from handlers.inference.messages import Response
from handlers.inference.tensor import ITEM_SIZES, Tensor

TYPE_CHECKING = False  # typing itself costs a cold start 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, Protocol

    from handlers.inference.dataplane import Model
    from handlers.inference.messages import Request

    class Transform(Protocol):
        """What ``COLDPRESS_TRANSFORM`` names: made once, without arguments, before the first request.

        A class method ``for_model(model)``, where there is one, makes it instead; ``model.file(name)`` gives
        a file of the bundle.

        A RequestError, or a subclass with another ``status`` from 400 to 599, is what the client is told.
        Anything else that is raised is a 500.
        """

        def decode(self, request: Request) -> Mapping[str, Any]:
            """One tensor for each of the model's inputs, by name: a Tensor or a numpy array."""

        def encode(self, outputs: Mapping[str, Tensor]) -> Response:
            """The answer, from all of the model's outputs by name."""


# What says where a body ends is the server's to say.
_FRAMING = frozenset({"connection", "content-length", "transfer-encoding"})
_NOT_IN_JSON = bytes(set(range(32)) - set(b"\t\n\r"))


class Transformed:
    """An endpoint that runs the model between the two halves of ``transform``, which logs call ``name``."""

    def __init__(self, name: str, transform: "Transform") -> None:
        self._name = name
        self._transform = transform

    def answer(self, model: "Model", request: "Request") -> Response:
        """The transform's answer.

        Raises:
            RequestError: the transform refuses the request, or the graph cannot take its values.
            TransformError: the transform failed, or gave what is no inputs or no response.
        """
        inputs = self._call("decode", lambda: _tensors(self._transform.decode(request)))
        try:
            model.check(inputs)
        except RequestError as error:
            # It speaks of names, dtypes and shapes that the client never saw.
            raise TransformError(f"the transform {self._name} is wrong in decode: {error}") from None
        outputs = model.infer(inputs)
        response: Response = self._call("encode", lambda: _checked(self._transform.encode(outputs)))
        return response

    def _call(self, half: str, work: "Callable[[], Any]") -> "Any":
        try:
            return work()
        except KeyboardInterrupt:
            raise
        except _WrongValue as error:
            raise TransformError(f"the transform {self._name} is wrong in {half}: {error}") from None
        except RequestError as error:
            refusal = _refusal(error)
            if refusal is not None:
                raise refusal from None
            raise TransformError(
                f"the transform {self._name} is wrong in {half}: the status of its {type(error).__name__} is "
                "none from 400 to 599."
            ) from None
        except BaseException as error:  # noqa: BLE001 - sys.exit() as well must end no environment
            raise TransformError(
                f"the transform {self._name} failed in {half} with {type(error).__name__} at "
                f"{log.place_of(error)}"
            ) from None


class _WrongValue(Exception):
    """What a transform gave back; the sentence holds types, names and shapes only."""


def load_transform(name: str, model: "Model | None" = None) -> Transformed:
    """The endpoint of the class that ``name`` names, as ``package.module:Class``; ``model``: around which.

    Raises:
        InitError: there is no such class, or its code failed; one sentence says what and where.
    """
    module, _, attribute = name.partition(":")
    if not attribute.isidentifier() or not all(part.isidentifier() for part in module.split(".")):
        raise InitError(f"'{name}' names no transform: write package.module:Class.")
    try:
        __import__(module)
        kind = getattr(sys.modules[module], attribute, None)
        if kind is None:
            raise InitError(f"the transform's module {module} has no {attribute}: name its class.")
        transform = kind.for_model(model) if hasattr(kind, "for_model") else kind()
    except (InitError, KeyboardInterrupt):
        raise
    except BaseException as error:  # noqa: BLE001 - the user's code; sys.exit() is an init error like others
        raise InitError(
            f"the transform {name} cannot be made ({type(error).__name__} at {log.place_of(error)}: "
            f"{' '.join(str(error).split())}): put its module and all that it imports beside the handler."
        ) from None
    for half in ("decode", "encode"):
        if not callable(getattr(transform, half, None)):
            raise InitError(f"the transform {name} has no {half}: docs/transforms.md shows what it needs.")
    return Transformed(name, transform)


def _tensors(inputs: "Any") -> dict[str, Tensor]:
    if not hasattr(inputs, "items"):
        raise _WrongValue(f"it gave {type(inputs).__name__}, not a dict of tensors by input.")
    return {name: _tensor(name, value) for name, value in inputs.items()}


def _tensor(name: object, value: "Any") -> Tensor:
    if not isinstance(name, str):
        raise _WrongValue(f"it named an input by {type(name).__name__}, not by str.")
    if not isinstance(value, Tensor):
        try:
            return Tensor.of(value)
        except TypeError as error:
            raise _WrongValue(f"input '{name}': {error}.") from None
    if not all(isinstance(axis, int) and axis >= 0 for axis in value.shape):
        raise _WrongValue(f"input '{name}' has a shape that is no lengths.")
    # Requests may run joined: one of another length would shift the others' bytes.
    if isinstance(value.data, list):
        is_whole = value.dtype == "string" and len(value.data) == value.size
    else:
        is_whole = len(memoryview(value.data).cast("B")) == value.size * ITEM_SIZES.get(value.dtype, -1)
    if not is_whole:
        raise _WrongValue(
            f"the data of input '{name}' is not a tensor of {value.dtype} {list(value.shape)}: class Tensor "
            "says how many bytes it holds."
        )
    return value


def _checked(response: "Any") -> Response:
    if not isinstance(response, Response):
        raise _WrongValue(f"it gave {type(response).__name__}, not a Response.")
    status, headers, body = response.status, response.headers, response.body
    if not isinstance(status, int) or not 200 <= status <= 599:
        raise _WrongValue("the status of its Response is none from 200 to 599.")
    if not isinstance(body, bytes):
        raise _WrongValue(f"the body of its Response is {type(body).__name__}, not bytes.")
    for name, text in headers.items():
        if not (isinstance(name, str) and isinstance(text, str) and (name + text).isascii()):
            raise _WrongValue("the headers of its Response are not all ASCII text.")
        if not (name.replace("-", "").isalnum() and text.isprintable()) or name.lower() in _FRAMING:
            raise _WrongValue("a header of its Response is not one that an answer may set.")
    headers = {name.lower(): text for name, text in headers.items()}
    if headers.get("content-type") == "application/json" and not _may_be_json(body):
        raise _WrongValue(
            "the body of its Response is declared as JSON, but has bytes that JSON cannot have."
        )
    return Response(status, headers, body)


def _may_be_json(body: bytes) -> bool:
    """Whether Lambda can carry it as text."""
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return len(body.translate(None, _NOT_IN_JSON)) == len(body)


def _refusal(error: RequestError) -> RequestError | None:
    """What to answer, made anew: a subclass may have left out what the answer needs."""
    if not isinstance(error.status, int) or not 400 <= error.status <= 599:
        return None
    refusal = RequestError(str(error))
    refusal.status = error.status
    return refusal
