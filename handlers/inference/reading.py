"""JSON values to tensors: exactly, or not at all.

A number that the dtype would change into another one is refused: 300 for ``uint8``, 0.5 for ``int64``,
16777217 for ``float32``, 1e39 for ``float32``. Decimal fractions are rounded to the nearest float, as
everywhere. ``NaN``, ``Infinity`` and ``-Infinity`` are taken for float dtypes, as literals or as strings.

Lists of plain numbers go from simdjson's buffer into the tensor without a Python object for each. What that
way does not carry, or would carry with a loss, goes through Python objects, which say what is wrong.
"""

from itertools import chain
from struct import error as StructError  # noqa: N812 - it is named as what it is
from struct import pack, unpack

import pybase64

from bundle.simdjson import Array, Object
from handlers.inference.casting import cast
from handlers.inference.errors import RequestError
from handlers.inference.tensor import STRUCT_CODES, Tensor, element_count

TYPE_CHECKING = False  # typing itself costs a cold start 3 ms
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from bundle.served import TensorSpec

FLOATS = frozenset({"float16", "float32", "float64"})
# Up to here every integer is a value of the dtype; beyond, only some are.
_EXACT_UP_TO = {"float16": 2**11, "float32": 2**24, "float64": 2**53}
_RANGES = {
    f"{'' if low else 'u'}int{bits}": (low, low + 2**bits - 1)
    for bits in (8, 16, 32, 64)
    for low in (0, -(2 ** (bits - 1)))
}
_NON_FINITE = frozenset({"NaN", "Infinity", "-Infinity"})
# A list is looked for with one call each where there are so many bytes to skip for it.
_SPARSE = 256
# From so many on, the text itself is looked at before each is asked how long it is.
_MANY_LISTS = 2000
_NUMERALS = b"0123456789+-.eE \t\r\n"


class Document:
    """Reads the tensors of one JSON document.

    simdjson's buffers flatten what they find. A list too many among the numbers shows itself where the
    document has more brackets than the lists that were seen here, in the tensors and around them.
    """

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._seen = 0
        self._suspects: list[tuple[Array, TensorSpec]] = []

    def saw(self, lists: int = 1) -> None:
        """So many lists of the document are no part of a tensor."""
        self._seen += lists

    def read(self, value: object, spec: "TensorSpec") -> Tensor:
        """A nested list (or a scalar) as a tensor of the spec's dtype; the shape is the nesting's.

        Raises:
            RequestError: the nesting is ragged, or a value does not fit the dtype; the sentence names it.
        """
        if type(value) is Array:
            tensor = _read_numbers(value, spec, self._body)
            if tensor is not None:
                self._seen += _count_lists(tensor.shape)
                self._suspects.append((value, spec))
                return tensor
        return _from_objects(as_objects(value), spec)

    def read_rows(self, rows: "list[Any]", spec: "TensorSpec") -> Tensor:
        """One value for each row as one tensor, whose first axis the rows are.

        Raises:
            RequestError: as ``read``.
        """
        if not all(type(row) is Array for row in rows):
            return _from_objects([as_objects(row) for row in rows], spec)
        tensors = [self.read(row, spec) for row in rows]
        if len({tensor.shape for tensor in tensors}) > 1:
            raise _ragged(spec)
        data: list[Any] = [tensor.data for tensor in tensors]
        joined: Any = list(chain(*data)) if spec.dtype == "string" else memoryview(b"".join(data))
        return Tensor(spec.dtype, (len(rows), *tensors[0].shape), joined)

    def check(self) -> None:
        """Call it when all tensors were read.

        Raises:
            RequestError: one of them is ragged.
        """
        if self._suspects and _has_more_lists(self._body, self._seen):
            for value, spec in self._suspects:
                _, leaves = _flatten(value.as_list(), spec)
                if list in map(type, leaves):
                    raise _ragged(spec)


def as_objects(value: "Any") -> "Any":
    """A value of a document as Python objects all the way down."""
    if type(value) is Array:
        return value.as_list()
    if type(value) is Object:
        return value.as_dict()
    return value


def _from_objects(value: object, spec: "TensorSpec") -> Tensor:
    """Python objects, as a JSON reader makes them, as a tensor.

    Raises:
        RequestError: as ``Document.read``.
    """
    shape, leaves = _flatten(value, spec)
    return Tensor(spec.dtype, shape, _convert(leaves, spec))


def _read_numbers(value: Array, spec: "TensorSpec", body: bytes) -> Tensor | None:
    """The tensor by way of a buffer; None where Python objects have to say what becomes of it."""
    if spec.dtype in ("bool", "string"):
        return None
    is_float = spec.dtype in FLOATS
    try:
        buffer = memoryview(
            value.as_buffer(of_type="d" if is_float else "u" if spec.dtype == "uint64" else "i")
        )
    except (TypeError, ValueError):
        return None
    shape = _regular_shape(value, spec, body)
    size = element_count(shape)
    if size * 8 != len(buffer):
        raise _ragged(spec)
    if not size or spec.dtype in ("int64", "uint64"):
        return Tensor(spec.dtype, shape, buffer)
    numbers: Any = buffer.cast("d" if is_float else "q")
    data, low, high = cast(numbers, spec.dtype)
    if is_float:
        exact = _EXACT_UP_TO[spec.dtype]
        return Tensor(spec.dtype, shape, data) if -exact < low and high < exact else None
    least, most = _RANGES[spec.dtype]
    if low < least or high > most:
        raise _out_of_range(spec)
    return Tensor(spec.dtype, shape, data)


def _regular_shape(value: Array, spec: "TensorSpec", body: bytes) -> list[int]:
    """The lengths of lists in lists, all of one length at one depth; of the innermost only their number."""
    shape, first = [len(value)], value
    while shape[-1] and type(first := first[0]) is Array:
        shape.append(len(first))
    if _count_lists(shape) > _MANY_LISTS and _has_only(shape, body):
        return shape
    level = [value]
    for axis, length in enumerate(shape[1:], 1):
        try:
            if any(set(map(len, outer)) != {length} for outer in level):
                raise _ragged(spec)
        except TypeError:  # a number among the lists
            raise _ragged(spec) from None
        if axis < len(shape) - 1:
            level = [row for outer in level for row in outer]
    return shape


def _has_only(shape: list[int], body: bytes) -> bool:
    """Whether the document's only list is one of this shape, told by its brackets and commas alone.

    An image of 224 x 224 x 3 takes a third of the time of asking each of its 50,176 innermost lists.
    """
    bones = body.translate(None, _NUMERALS)
    start = bones.find(b"[")
    is_in_string = b"\\" in bones[:start] or bones.count(b'"', 0, start) % 2
    nesting = b"," * (shape[-1] - 1)
    for length in reversed(shape[:-1]):
        nesting = b",".join([b"[%b]" % nesting] * length)
    is_alike = bones.startswith(b"[%b]" % nesting, start)
    return is_alike and not is_in_string and bones.count(b"[") == _count_lists(shape)


def _count_lists(shape: "Sequence[int]") -> int:
    """How many lists a nesting of this shape has."""
    count = lists = 1
    for length in shape[:-1]:
        lists *= length
        count += lists
    return count


def _has_more_lists(body: bytes, count: int) -> bool:
    if count > len(body) // _SPARSE:
        return body.count(b"[") > count
    position = -1
    for _ in range(count + 1):
        position = body.find(b"[", position + 1)
        if position < 0:
            return False
    return True


def _flatten(value: object, spec: "TensorSpec") -> "tuple[list[int], list[Any]]":
    """Shape and leaves, in row-major order, of a nested list; lists among the leaves are left to others."""
    shape: list[int] = []
    level: list[Any] = [value]
    while level and type(level[0]) is list:
        lengths = {len(item) if type(item) is list else -1 for item in level}
        if len(lengths) > 1:
            raise _ragged(spec)
        shape.append(lengths.pop())
        level = list(chain.from_iterable(level))
    return shape, level


def _convert(leaves: "list[Any]", spec: "TensorSpec") -> memoryview | list[bytes]:
    """JSON scalars as the data of a tensor of the spec's dtype."""
    if spec.dtype == "string":
        return _strings(leaves, spec)
    if spec.dtype == "bool":
        _check_types(leaves, spec, {bool}, "true and false")
        return memoryview(bytes(leaves))
    if spec.dtype in FLOATS:
        return memoryview(_floats(leaves, spec))
    return memoryview(_integers(leaves, spec))


def _floats(leaves: "list[Any]", spec: "TensorSpec") -> bytes:
    types = _check_types(leaves, spec, {int, float, str}, "numbers")
    if str in types:
        if not _NON_FINITE.issuperset(leaf for leaf in leaves if type(leaf) is str):
            raise _wrong_type(spec, "numbers")
        leaves = [float(leaf) if type(leaf) is str else leaf for leaf in leaves]
    code = f"<{len(leaves)}{STRUCT_CODES[spec.dtype]}"
    try:
        data = pack(code, *leaves)
    except (OverflowError, StructError):
        raise _out_of_range(spec) from None
    if int in types:
        for leaf, value in zip(leaves, unpack(code, data), strict=True):
            if type(leaf) is int and leaf != value:
                raise RequestError(
                    f"input '{spec.name}' holds an integer that {spec.dtype} cannot hold exactly."
                )
    return data


def _integers(leaves: "list[Any]", spec: "TensorSpec") -> bytes:
    if float in _check_types(leaves, spec, {int, float}, "integers"):
        for leaf in leaves:
            if type(leaf) is float and not (leaf.is_integer() and abs(leaf) < _EXACT_UP_TO["float64"]):
                raise _wrong_type(spec, "integers")
        leaves = list(map(int, leaves))
    try:
        return pack(f"<{len(leaves)}{STRUCT_CODES[spec.dtype]}", *leaves)
    except StructError:
        raise _out_of_range(spec) from None


def _strings(leaves: "list[Any]", spec: "TensorSpec") -> list[bytes]:
    _check_types(leaves, spec, {str, dict}, 'strings, or {"b64": "…"}')
    try:
        return [leaf.encode() if type(leaf) is str else _from_base64(leaf, spec) for leaf in leaves]
    except UnicodeEncodeError:
        raise RequestError(f"input '{spec.name}' holds half of a surrogate pair, which is no text.") from None


def _from_base64(value: "dict[str, object]", spec: "TensorSpec") -> bytes:
    encoded = value.get("b64")
    if len(value) != 1 or not isinstance(encoded, str):
        raise RequestError(f'input \'{spec.name}\' holds an object that is not {{"b64": "…"}}.')
    try:
        decoded = pybase64.b64decode(encoded, validate=True)
        decoded.decode()
    except ValueError:
        raise RequestError(
            f"input '{spec.name}' holds a \"b64\" that is not base64 of UTF-8, which is all that the model's "
            "strings can hold."
        ) from None
    return decoded


def _check_types(leaves: "list[Any]", spec: "TensorSpec", allowed: set[type], words: str) -> set[type]:
    types = set(map(type, leaves))
    if list in types:
        raise _ragged(spec)
    if not types <= allowed:
        raise _wrong_type(spec, words)
    return types


def _wrong_type(spec: "TensorSpec", words: str) -> RequestError:
    return RequestError(f"input '{spec.name}' takes {words} (dtype {spec.dtype}), but holds something else.")


def _out_of_range(spec: "TensorSpec") -> RequestError:
    return RequestError(f"input '{spec.name}' holds a number out of the range of {spec.dtype}.")


def _ragged(spec: "TensorSpec") -> RequestError:
    return RequestError(f"input '{spec.name}' is ragged: the lists at one depth must have one length.")
