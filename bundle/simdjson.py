"""simdjson, imported for what it costs alone, and without its one trap.

The extension module ``csimdjson`` is all that is used of pysimdjson: its package imports json. It imports two
modules itself: pathlib, to accept paths (9 ms of a cold start, for what we never do), and collections.abc, to
register its proxies (3 ms, for classes that Python has loaded already).
"""

import _collections_abc
import sys

TYPE_CHECKING = False  # typing itself costs a cold start 3 ms
if TYPE_CHECKING:
    from typing import Any

_collections = type(sys)("collections")
_collections.abc = _collections_abc  # type: ignore[attr-defined]
_STAND_INS = {
    "pathlib": type(sys)("pathlib"),
    "collections": _collections,
    "collections.abc": _collections_abc,
}
_lent = {name: module for name, module in _STAND_INS.items() if name not in sys.modules}
sys.modules.update(_lent)
try:
    from csimdjson import Array, Object, Parser
finally:
    for _name in _lent:
        del sys.modules[_name]

# simdjson counts the elements of a list or object no further; pysimdjson would write past its list's end.
_MAX_ELEMENTS = 0xFFFFFF

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

__all__ = ["TYPE_NAMES", "Array", "Object", "TooLong", "loads", "parse"]


class TooLong(ValueError):
    """The document may have lists of more than 16 million elements."""


def parse(data: bytes) -> "Any":
    """The document as ``Array`` or ``Object``, whose members are made when they are asked for, or a scalar.

    ``items``, ``values``, ``as_list`` and ``as_dict`` give Python objects all the way down. A parser for each
    document costs the same as one that is kept, and none is shared between threads.

    Raises:
        ValueError: it is no JSON, or holds what simdjson does not read: integers beyond 64 bits, halves of
            surrogate pairs, more than 1,024 levels; ``TooLong``.
    """
    return _parse(data, recursive=False)


def loads(data: bytes) -> "Any":
    """The document as Python objects.

    Raises:
        ValueError: as ``parse``.
    """
    return _parse(data, recursive=True)


def _parse(data: bytes, *, recursive: bool) -> "Any":
    if len(data) > 2 * _MAX_ELEMENTS and data.count(b",") >= _MAX_ELEMENTS:
        raise TooLong
    try:
        return Parser().parse(data, recursive)
    except RuntimeError as error:  # what pysimdjson makes of the errors it has no name for
        raise ValueError(str(error)) from None
