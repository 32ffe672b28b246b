"""JSON values to arrays and back: exactly, or not at all.

A number that the dtype would change into another one is refused: 300 for ``uint8``, 0.5 for ``int64``,
16777217 for ``float32``, 1e39 for ``float32``. Decimal fractions are rounded to the nearest float, as
everywhere. ``NaN``, ``Infinity`` and ``-Infinity`` are taken for float dtypes, as literals or as strings.
"""

import base64
import binascii
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from bundle.manifest import TensorSpec
from handlers.inference.dataplane import Array
from handlers.inference.errors import RequestError

NON_FINITE = frozenset({"NaN", "Infinity", "-Infinity"})
_MAX_EXACT_FLOAT64 = 2**53
# So many values at once that the temporary arrays stay in the processor's cache: twice as fast.
_CACHED = 8192
# Every power of ten that a float64 holds exactly.
_POWERS_OF_TEN = np.array([float(10**exponent) for exponent in range(23)])


def from_json(value: object, spec: TensorSpec) -> Array:
    """A nested list (or a scalar) as an array of the spec's dtype; the shape is the nesting's.

    Raises:
        RequestError: the nesting is ragged, or a value does not fit the dtype; the sentence names the input.
    """
    shape, leaves = flatten(value, spec.name)
    return convert(leaves, spec).reshape(shape)


def flatten(value: object, name: str) -> tuple[tuple[int, ...], list[Any]]:
    """Shape and leaves, in row-major order, of a nested list; ``convert`` refuses a list among the leaves."""
    shape: list[int] = []
    level: list[Any] = [value]
    while level and type(level[0]) is list:
        lengths = {len(item) if type(item) is list else -1 for item in level}
        if len(lengths) > 1:
            raise _ragged(name)
        shape.append(lengths.pop())
        level = list(chain.from_iterable(level))
    return tuple(shape), level


def convert(leaves: list[Any], spec: TensorSpec) -> Array:
    """A flat list of JSON scalars as a one-dimensional array of the spec's dtype.

    Raises:
        RequestError: a value does not fit the dtype.
    """
    if spec.dtype == "string":
        return _strings(leaves, spec)
    dtype = np.dtype(spec.dtype)
    if dtype.kind == "b":
        _check_types(leaves, spec, {bool}, "true and false")
        return np.array(leaves, dtype)
    if dtype.kind == "f":
        return _floats(leaves, spec, dtype)
    return _integers(leaves, spec, dtype)


def to_list(array: Array) -> Any:
    """Nested lists of what JSON can hold; floats as short decimals that give the same float back."""
    if array.dtype in (np.float32, np.float16):
        return _shortened(array).tolist()
    return array.tolist()


def is_finite(array: Array) -> bool:
    """Whether plain JSON can hold all of its numbers."""
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def name_non_finite(array: Array) -> list[Any]:
    """The flat list of a float array whose non-finite values are the strings of ``NON_FINITE``.

    protobuf's JSON mapping writes them so, and ``numpy.array(list, dtype)`` reads them back.
    """
    flat = to_list(array.ravel())
    for index in np.flatnonzero(~np.isfinite(array)).tolist():
        value = flat[index]
        flat[index] = "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"  # noqa: PLR0124 - NaN
    assert isinstance(flat, list)  # noqa: S101 - for the type checker
    return flat


def _floats(leaves: list[Any], spec: TensorSpec, dtype: np.dtype[np.generic]) -> Array:
    types = _check_types(leaves, spec, {int, float, str}, "numbers")
    if str in types and not NON_FINITE.issuperset(leaf for leaf in leaves if type(leaf) is str):
        raise _wrong_type(spec, "numbers")
    try:
        wide = np.array(leaves, np.float64)
    except OverflowError:
        raise _out_of_range(spec) from None
    with np.errstate(over="ignore"):
        array = wide.astype(dtype)
    if not np.array_equal(np.isfinite(array), np.isfinite(wide)):
        raise _out_of_range(spec)
    digits = np.finfo(np.dtype(dtype.str)).nmant + 1
    if int in types and (np.abs(wide) >= 2**digits).any():
        _check_exact(leaves, array, spec)
    return array


def _check_exact(leaves: list[Any], array: Array, spec: TensorSpec) -> None:
    for leaf, converted in zip(leaves, array.tolist(), strict=True):
        if type(leaf) is int and int(converted) != leaf:
            raise RequestError(f"input '{spec.name}' holds an integer that {spec.dtype} cannot hold exactly.")


def _integers(leaves: list[Any], spec: TensorSpec, dtype: np.dtype[np.generic]) -> Array:
    if float in _check_types(leaves, spec, {int, float}, "integers"):
        for leaf in leaves:
            if type(leaf) is float and not (leaf.is_integer() and abs(leaf) < _MAX_EXACT_FLOAT64):
                raise _wrong_type(spec, "integers")
        leaves = list(map(int, leaves))
    try:
        return np.array(leaves, dtype)
    except OverflowError:
        raise _out_of_range(spec) from None


def _strings(leaves: list[Any], spec: TensorSpec) -> Array:
    types = _check_types(leaves, spec, {str, dict}, 'strings, or {"b64": "…"}')
    if dict in types:
        leaves = [leaf if type(leaf) is str else _from_base64(leaf, spec) for leaf in leaves]
    try:
        "".join(leaves).encode()
    except UnicodeEncodeError:
        raise RequestError(f"input '{spec.name}' holds half of a surrogate pair, which is no text.") from None
    array = np.empty(len(leaves), object)
    array[:] = leaves
    return array


def _from_base64(value: dict[str, object], spec: TensorSpec) -> str:
    encoded = value.get("b64")
    if len(value) != 1 or not isinstance(encoded, str):
        raise RequestError(f'input \'{spec.name}\' holds an object that is not {{"b64": "…"}}.')
    try:
        return base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, ValueError):
        raise RequestError(
            f"input '{spec.name}' holds a \"b64\" that is not base64 of UTF-8, which is all that the model's "
            "strings can hold."
        ) from None


def _shortened(array: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """float32 values as the float64 values that have the float32's own short decimal form.

    0.1 as float32 is 0.10000000149011612 as float64: three times the digits for nothing. A decimal of k
    digits, ``n / 10**e`` with ``n < 2**53`` and ``e <= 22``, is one correctly rounded division of exact
    numbers, so its shortest form is those k digits. Try 7, then 8, then 9 digits, which always suffice for a
    float32 (Steele & White 1990; 3 to 5 for a float16); what lies outside 1e-13 to 1e14 stays as it is,
    longer and exact as well.
    """
    digits_to_try = (3, 4, 5) if array.dtype == np.float16 else (7, 8, 9)
    result = array.astype(np.float64).ravel()
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, result.size, _CACHED):
            _shorten(result[start : start + _CACHED], array.dtype, digits_to_try)
    return result.reshape(array.shape)


def _shorten(
    values: npt.NDArray[np.float64], dtype: np.dtype[np.generic], digits_to_try: tuple[int, ...]
) -> None:
    """Shorten in place."""
    magnitude = np.abs(values)
    todo = np.flatnonzero((magnitude > 1e-13) & (magnitude < 1e14))
    for digits in digits_to_try:
        exact = values[todo]
        exponent = (digits - 1) - np.floor(np.log10(magnitude[todo])).astype(np.int64)
        scale = _POWERS_OF_TEN[np.abs(exponent)]
        decimal = np.where(exponent >= 0, np.rint(exact * scale) / scale, np.rint(exact / scale) * scale)
        is_same = decimal.astype(dtype) == exact.astype(dtype)
        values[todo[is_same]] = decimal[is_same]
        todo = todo[~is_same]
        if not todo.size:
            break


def _check_types(leaves: list[Any], spec: TensorSpec, allowed: set[type], words: str) -> set[type]:
    types = set(map(type, leaves))
    if list in types:
        raise _ragged(spec.name)
    if not types <= allowed:
        raise _wrong_type(spec, words)
    return types


def _wrong_type(spec: TensorSpec, words: str) -> RequestError:
    return RequestError(f"input '{spec.name}' takes {words} (dtype {spec.dtype}), but holds something else.")


def _out_of_range(spec: TensorSpec) -> RequestError:
    return RequestError(f"input '{spec.name}' holds a number out of the range of {spec.dtype}.")


def _ragged(name: str) -> RequestError:
    return RequestError(f"input '{name}' is ragged: the lists at one depth must have one length.")
