"""The native library by ctypes: JSON's long lists of numbers, both ways.

scan.c             a document without them, and where they are
read_numbers.c     their text to the elements of a tensor
write_numbers.c    the elements of a tensor to text
"""

import ctypes
from os import uname

from handlers.inference.tensor import element_count

TYPE_CHECKING = False  # typing itself costs a cold start 3 ms
if TYPE_CHECKING:
    from collections.abc import Sequence

    from handlers.inference.documents import Numbers

READ, RAGGED, UNUSUAL = 0, 1, 2
MAX_RANK = 32
_LONGEST_ELEMENT, _LONGEST_LIST = 32, 3
_SPAN_WORDS = 4
# Bytes that suffice for most documents without their bulk.
_USUAL_SKELETON = 4096
_NO_ROOM = -1

_FILE = f"{__file__.rpartition('/')[0]}/{uname().machine.replace('arm64', 'aarch64')}.so"
try:
    _library = ctypes.CDLL(_FILE)
except OSError as error:
    raise ImportError(f"{_FILE} cannot be loaded ({error}): `make setup` makes it.") from None

# Bytes are passed as their address. Those that a function fills were made for it, and nobody saw them yet.
_Pointer, _Size = ctypes.c_void_p, ctypes.c_uint64
_scan = _library.coldpress_scan
_scan.argtypes = (_Pointer, _Size, ctypes.c_bool, _Pointer, _Size, _Pointer)
_scan.restype = ctypes.c_int64
_unescape = _library.coldpress_unescape
_unescape.argtypes = (_Pointer, _Size, _Size, _Pointer)
_unescape.restype = None
_read = _library.coldpress_read_numbers
_read.argtypes = (_Pointer, _Size, _Size, ctypes.c_char, _Pointer, _Pointer, _Pointer, _Pointer)
_read.restype = ctypes.c_int32
_write = _library.coldpress_write_numbers
_write.argtypes = (_Pointer, ctypes.c_char, _Pointer, ctypes.c_int32, ctypes.c_bool, _Pointer)
_write.restype = _Size
_Shape = ctypes.c_int64 * MAX_RANK


def scan(text: bytes, *, is_event: bool) -> "tuple[bytes, list[tuple[int, int, int, int]]] | None":
    """The document with ``NaN`` in place of each long list of numbers, and what these were, in order.

    Args:
        text: JSON.
        is_event: the value of the document's own ``body`` is taken out too, if it is a long string.

    Returns:
        Of each: start and end in ``text``; a list's number of commas, or a body's of bytes once its escapes
        are resolved; whether it is a body (1) or a list (0). None where all must be left to another reader:
        the document has ``NaN`` or ``Infinity`` itself, or is no JSON.
    """
    out, written = bytes(min(_USUAL_SKELETON, (len(text) + 7) & ~7)), _Size()
    count = _scan(text, len(text), is_event, out, len(out), ctypes.byref(written))
    if count == _NO_ROOM:
        out = bytes((len(text) + 7) & ~7)
        count = _scan(text, len(text), is_event, out, len(out), ctypes.byref(written))
    if count < 0:
        return None
    if not count:
        return text, []
    words = memoryview(out)[len(out) - count * _SPAN_WORDS * 8 :].cast("Q").tolist()
    spans = [tuple(words[i : i + _SPAN_WORDS]) for i in range(len(words) - _SPAN_WORDS, -1, -_SPAN_WORDS)]
    return out[: written.value], spans  # type: ignore[return-value]


def unescape(text: bytes, start: int, end: int, size: int) -> bytes:
    """The bytes of a body that ``scan`` found."""
    if size == end - start:
        return text[start:end]
    out = bytes(size)
    _unescape(text, start, end, out)
    return out


def read_numbers(numbers: "Numbers", code: str, size: int) -> "tuple[int, memoryview, list[int]]":
    """A list of numbers that ``scan`` found, as elements of a dtype.

    Args:
        numbers: the list.
        code: the struct module's, of the dtype.
        size: bytes of one element.

    Returns:
        ``READ``, the elements' bytes and the shape; or ``RAGGED`` (lists of one depth differ in length) or
        ``UNUSUAL``: it is no JSON, or has what the dtype does not hold, or what only others read.
    """
    out, shape, rank, elements = bytes((numbers.commas + 1) * size), _Shape(), ctypes.c_int32(), _Size()
    results = (out, ctypes.byref(elements), shape, ctypes.byref(rank))
    status = _read(numbers.text, numbers.start, numbers.end, code.encode(), *results)
    return status, memoryview(out)[: elements.value * size], shape[: rank.value]


def write_numbers(data: memoryview, code: str, shape: "Sequence[int]", *, is_quoted: bool = False) -> str:
    """The elements of a tensor as lists in lists, floats as the shortest decimals of their dtype.

    Args:
        data: the elements.
        code: the struct module's, of the dtype.
        shape: 1 to ``MAX_RANK`` lengths.
        is_quoted: NaN and the infinities are strings, not literals.
    """
    elements = element_count(shape)
    lists = sum(element_count(shape[:axis]) for axis in range(len(shape)))
    whole = data.obj
    content = whole if type(whole) is bytes and len(whole) == data.nbytes else bytes(data)
    out = bytes(elements * _LONGEST_ELEMENT + lists * _LONGEST_LIST)
    count = _write(content, code.encode(), _Shape(*shape), len(shape), is_quoted, out)
    return str(memoryview(out)[:count], "ascii")
