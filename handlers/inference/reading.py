"""JSON values to tensors: exactly, or not at all.

A number that the dtype would change into another one is refused: 300 for ``uint8``, 0.5 for ``int64``,
16777217 for ``float32``, 1e39 for ``float32``. Decimal fractions are rounded to the nearest float, as
everywhere. ``NaN``, ``Infinity`` and ``-Infinity`` are taken for float dtypes, as literals or as strings.

Long lists of plain numbers go from text to tensor in one pass (native/read_numbers.c), without a Python
object for each. What that way does not carry, or would carry with a loss, goes through Python objects, which
say what is wrong.
"""

from itertools import chain
from struct import error as StructError  # noqa: N812 - it is named as what it is
from struct import pack, unpack

import pybase64

from handlers.inference.documents import Numbers, as_objects
from handlers.inference.errors import RequestError
from handlers.inference.native import RAGGED, READ, read_numbers
from handlers.inference.tensor import ITEM_SIZES, STRUCT_CODES, Tensor

TYPE_CHECKING = False  # typing itself costs a cold start 3 ms
if TYPE_CHECKING:
    from typing import Any

    from bundle.served import TensorSpec

FLOATS = frozenset({"float16", "float32", "float64"})
_NON_FINITE = frozenset({"NaN", "Infinity", "-Infinity"})
# Up to here a float is the only one that its digits may have meant.
_EXACT_INTEGERS = 2**53


def read(value: object, spec: "TensorSpec") -> Tensor:
    """A nested list (or a scalar) of a document as a tensor of the spec's dtype; the shape is the nesting's.

    Raises:
        RequestError: the nesting is ragged, or a value does not fit the dtype; the sentence names it.
    """
    if type(value) is Numbers and spec.dtype in STRUCT_CODES:
        status, data, shape = read_numbers(value, STRUCT_CODES[spec.dtype], ITEM_SIZES[spec.dtype])
        if status == READ:
            return Tensor(spec.dtype, shape, data)
        if status == RAGGED:
            raise _ragged(spec)
    return _from_objects(as_objects(value), spec)


def read_rows(rows: "list[Any]", spec: "TensorSpec") -> Tensor:
    """One value for each row as one tensor, whose first axis the rows are.

    Raises:
        RequestError: as ``read``.
    """
    if not all(type(row) is Numbers for row in rows):
        return _from_objects([as_objects(row) for row in rows], spec)
    tensors = [read(row, spec) for row in rows]
    if len({tensor.shape for tensor in tensors}) > 1:
        raise _ragged(spec)
    data: list[Any] = [tensor.data for tensor in tensors]
    joined: Any = list(chain(*data)) if spec.dtype == "string" else memoryview(b"".join(data))
    return Tensor(spec.dtype, (len(rows), *tensors[0].shape), joined)


def _from_objects(value: object, spec: "TensorSpec") -> Tensor:
    """Python objects, as a JSON reader makes them, as a tensor.

    Raises:
        RequestError: as ``read``.
    """
    shape, leaves = _flatten(value, spec)
    return Tensor(spec.dtype, shape, _convert(leaves, spec))


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
            if type(leaf) is float and not (leaf.is_integer() and abs(leaf) < _EXACT_INTEGERS):
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
