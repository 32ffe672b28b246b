"""Reading and writing JSON bodies."""

import json
from typing import Any

import msgspec

from handlers.inference.errors import RequestError


def read_json(body: bytes) -> Any:
    """The body as JSON, and with ``NaN``, ``Infinity`` and ``-Infinity`` as TensorFlow Serving takes them.

    Raises:
        RequestError: it is not JSON.
    """
    try:
        return msgspec.json.decode(body)
    except RecursionError:
        raise RequestError("the body is nested too deeply.") from None
    except UnicodeDecodeError:
        raise RequestError("the body is not UTF-8.") from None
    except msgspec.MsgspecError as error:
        if b"NaN" in body or b"Infinity" in body:
            return _read_with_literals(body)
        detail = str(error) if body else "it is empty"
        raise RequestError(f"the body is not JSON: {detail}.") from None


def read_object(body: bytes) -> dict[str, Any]:
    """The body as a JSON object."""
    content = read_json(body)
    if not isinstance(content, dict):
        raise RequestError("the body must be a JSON object.")
    return content


def write_with_literals(content: object) -> bytes:
    """JSON in which non-finite numbers are the literals ``NaN``, ``Infinity`` and ``-Infinity``."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def _read_with_literals(body: bytes) -> Any:
    try:
        return json.loads(body)
    except RecursionError:
        raise RequestError("the body is nested too deeply.") from None
    except ValueError as error:
        detail = (
            error.msg
            if isinstance(error, json.JSONDecodeError)
            else "a number is too long or it is not UTF-8"
        )
        raise RequestError(f"the body is not JSON: {detail}.") from None
