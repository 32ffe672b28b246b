"""JSON to Python objects by the standard library's C scanner alone: its ``json`` costs a cold start 16 ms."""

from _json import make_scanner

TYPE_CHECKING = False  # typing itself costs a cold start 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# What sentences call JSON's types, as msgspec does.
TYPE_NAMES: "dict[type, str]" = {
    bool: "bool",
    dict: "object",
    float: "float",
    int: "int",
    list: "array",
    str: "str",
    type(None): "null",
}
_SPACE = " \t\r\n"


def loads(
    data: bytes,
    parse_constant: "Callable[[str], Any] | None" = None,
    parse_float: "Callable[[str], float]" = float,
) -> "Any":
    """The document as Python objects.

    Args:
        data: UTF-8.
        parse_constant: what ``NaN``, ``Infinity`` and ``-Infinity`` stand for; without it they are no JSON.
        parse_float: what makes a float of its digits.

    Raises:
        ValueError: it is no JSON, no UTF-8, or nested too deeply.
    """
    text = str(data, "utf-8").strip(_SPACE)
    try:
        content, end = make_scanner(_Context(parse_constant or _refuse, parse_float))(text, 0)  # type: ignore[arg-type]
    except StopIteration:
        raise ValueError("a value is missing") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if end != len(text):
        raise ValueError("something follows the value")
    return content


class _Context:
    """What the scanner asks of ``json.JSONDecoder``."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_int = int

    def __init__(self, parse_constant: "Callable[[str], Any]", parse_float: "Callable[[str], float]") -> None:
        self.parse_constant = parse_constant
        self.parse_float = parse_float


def _refuse(name: str) -> "Any":
    raise ValueError(f"{name} is no JSON")
