"""Reading JSON bodies: by simdjson, and what it does not read by the standard library."""

from bundle.simdjson import Array, Object, TooLong, parse
from handlers.inference.errors import ContentTooLarge, RequestError

TYPE_CHECKING = False  # typing itself costs a cold start 3 ms
if TYPE_CHECKING:
    from typing import Any


def read_json(body: bytes) -> "Any":
    """The body as JSON, and with ``NaN``, ``Infinity`` and ``-Infinity`` as TensorFlow Serving takes them.

    Returns:
        simdjson's ``Object`` or ``Array`` or a scalar; where it does not read the body, Python objects.

    Raises:
        RequestError: it is not JSON.
    """
    try:
        return parse(body)
    except TooLong:
        raise ContentTooLarge("the body has millions of numbers: send them as binary tensors.") from None
    except ValueError:
        return _read_slowly(body)


def read_object(body: bytes) -> "Any":
    """The body as a JSON object: simdjson's ``Object`` or a dict."""
    content = read_json(body)
    if not is_object(content):
        raise RequestError("the body must be a JSON object.")
    return content


def is_object(value: object) -> bool:
    """Whether it is a JSON object."""
    return type(value) is Object or type(value) is dict


def is_list(value: object) -> bool:
    """Whether it is a JSON list."""
    return type(value) is Array or type(value) is list


def _read_slowly(body: bytes) -> "Any":
    """Everything that simdjson refuses; what is wrong with it, if it is JSON in nobody's eyes."""
    import json  # noqa: PLC0415 - 16 ms that only unusual bodies pay

    try:
        return json.loads(body.decode(), parse_float=_finite)
    except RecursionError:
        raise RequestError("the body is nested too deeply.") from None
    except UnicodeDecodeError:
        raise RequestError("the body is not UTF-8.") from None
    except ValueError as error:
        detail = error.msg if isinstance(error, json.JSONDecodeError) else "a number is too long"
        raise RequestError(f"the body is not JSON: {detail if body else 'it is empty'}.") from None


def _finite(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise RequestError("the body holds a number out of the range of float64.")
    return value
