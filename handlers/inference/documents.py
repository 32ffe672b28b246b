"""JSON documents: Python objects, but for long lists of numbers, which stay text until a dtype is known.

What is wrong with a body is said by the standard library's reader, which is slower and imported only then.
"""

from bundle.json_text import loads
from handlers.inference.errors import RequestError
from handlers.inference.native import scan, unescape

TYPE_CHECKING = False  # typing itself costs a cold start 3 ms
if TYPE_CHECKING:
    from typing import Any

# Documents without anything long.
_SHORT = 256
_FLOAT_MAX = 1.7976931348623157e308


class Numbers:
    """A list of numbers, or of lists of them, as it stands in the document from ``start`` to ``end``."""

    __slots__ = ("commas", "end", "start", "text")

    def __init__(self, text: bytes, start: int, end: int, commas: int) -> None:
        self.text = text
        self.start = start
        self.end = end
        self.commas = commas

    def as_list(self) -> "list[Any]":
        """As Python objects.

        Raises:
            RequestError: it is no JSON.
        """
        try:
            content: list[Any] = loads(self.text[self.start : self.end], parse_float=_finite)
        except ValueError:
            _read_slowly(self.text)  # says what is wrong
            raise RequestError("the body is not JSON.") from None
        return content


class Body:
    """The long ``body`` of an event, as it stands in the event's text."""

    __slots__ = ("_end", "_size", "_start", "_text")

    def __init__(self, text: bytes, start: int, end: int, size: int) -> None:
        self._text = text
        self._start = start
        self._end = end
        self._size = size

    def read(self) -> bytes:
        """What the string says, in UTF-8."""
        return unescape(self._text, self._start, self._end, self._size)


def read_json(body: bytes) -> "Any":
    """A body; ``NaN``, ``Infinity`` and ``-Infinity`` are floats in it, as TensorFlow Serving takes them.

    Returns:
        Python objects, with ``Numbers`` for some of the lists in it.

    Raises:
        RequestError: it is not JSON.
    """
    try:
        content = _read(body, is_event=False)
    except ValueError:
        content = None
    return _read_slowly(body) if content is None else content


def read_object(body: bytes) -> "dict[str, Any]":
    """The body as a JSON object.

    Raises:
        RequestError: it is none.
    """
    content = read_json(body)
    if type(content) is not dict:
        raise RequestError("the body must be a JSON object.")
    return content


def read_event(event: bytes) -> "Any":
    """An event; its ``body`` may be a ``Body`` in place of a string.

    Raises:
        ValueError: it is not JSON.
    """
    content = _read(event, is_event=True)
    return loads(event) if content is None else content


def is_list(value: object) -> bool:
    """Whether it is a JSON list."""
    return type(value) is list or type(value) is Numbers


def as_objects(value: "Any") -> "Any":
    """A value of a document as Python objects all the way down."""
    if type(value) is Numbers:
        return value.as_list()
    if type(value) is list:
        return [as_objects(item) for item in value]
    if type(value) is dict:
        return {name: as_objects(item) for name, item in value.items()}
    return value


def _read(text: bytes, *, is_event: bool) -> "Any":
    """The document; None where it has literals that another reader must make numbers of, or is no JSON."""
    if len(text) < _SHORT:
        return loads(text, parse_float=float if is_event else _finite)
    found = scan(text, is_event=is_event)
    if found is None:
        return None
    skeleton, spans = found
    bulk = iter(spans)

    def take(_name: str) -> "Numbers | Body":
        start, end, size, is_body = next(bulk)
        return Body(text, start, end, size) if is_body else Numbers(text, start, end, size)

    return loads(skeleton, take, float if is_event else _finite)


def _read_slowly(body: bytes) -> "Any":
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
    if not -_FLOAT_MAX <= value <= _FLOAT_MAX:
        raise RequestError("the body holds a number out of the range of float64.")
    return value
