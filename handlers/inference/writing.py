"""Tensors to JSON text; floats as short decimals that give the same float back.

0.1 as float32 is 0.10000000149011612 as float64: three times the digits for nothing. So 7 digits are tried,
then 8, then 9, which always suffice for a float32 (Steele & White 1990; 3 to 5 for a float16). Thousands of
values get 9 at once.
"""

import _json
from struct import unpack

import pybase64

from bundle.simdjson import parse
from handlers.inference.casting import cast
from handlers.inference.reading import FLOATS
from handlers.inference.tensor import STRUCT_CODES, element_count

TYPE_CHECKING = False  # typing itself costs a cold start 3 ms
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from handlers.inference.tensor import Tensor

_DIGITS = {"float16": (3, 4, 5), "float32": (7, 8, 9)}
_INFINITY = float("inf")
# Nobody reads so many, and to look for the shortest takes three times as long as to write the longest.
_MANY = 10_000


def to_texts(tensor: "Tensor") -> list[str]:
    """Each element as JSON, in row-major order; NaN and the infinities as literals."""
    if isinstance(tensor.data, list):
        return [_json.encode_basestring(text.decode(errors="replace")) for text in tensor.data]
    if tensor.dtype == "bool":
        return ["true" if value else "false" for value in tensor.data]
    values = _unpacked(tensor.data, tensor.dtype)
    return _floats(values, tensor.dtype) if tensor.dtype in FLOATS else list(map(str, values))


def to_base64_texts(strings: list[bytes]) -> list[str]:
    """Each string as ``{"b64":"…"}``."""
    return [f'{{"b64":"{pybase64.b64encode(text).decode()}"}}' for text in strings]


def nest(texts: list[str], shape: "Sequence[int]") -> str:
    """Elements as lists in lists; a scalar as itself."""
    if not shape:
        return texts[0]
    return f"[{','.join(rows(texts, shape))}]"


def rows(texts: list[str], shape: "Sequence[int]") -> list[str]:
    """Elements as one text for each index of the first axis."""
    for axis in range(len(shape) - 1, 0, -1):
        length, lists = shape[axis], range(element_count(shape[:axis]))
        texts = [f"[{','.join(texts[i * length : (i + 1) * length])}]" for i in lists]
    return texts


def _unpacked(data: memoryview, dtype: str) -> "Sequence[float]":
    if dtype == "float16":
        return unpack(f"<{len(data) // 2}e", data)
    code: Any = STRUCT_CODES[dtype]
    return data.cast(code).tolist() if data.nbytes else []


def _floats(values: "Sequence[float]", dtype: str) -> list[str]:
    special: dict[int, float] = {}
    total = sum(values)
    if total - total:  # then a value is NaN or infinite, or their sum is
        special = {i: value for i, value in enumerate(values) if value - value}
        values = [0.0 if i in special else value for i, value in enumerate(values)]
    texts = list(map(repr, values)) if dtype == "float64" else _shortest(values, dtype)
    for i, value in special.items():
        texts[i] = "Infinity" if value == _INFINITY else "-Infinity" if value == -_INFINITY else "NaN"
    return texts


def _shortest(values: "Sequence[float]", dtype: str) -> list[str]:
    """The shortest decimals that ``dtype`` rounds to the same values; whole numbers with a ``.0``."""
    if not values:
        return []
    few, more, enough = _DIGITS[dtype]
    if len(values) > _MANY:
        texts = _formatted(enough, values).split(",")
    else:
        texts, longer = _try(few, values, dtype)
        better, longest = _try(more, [values[i] for i in longer], dtype)
        for i, text in zip(longer, better, strict=True):
            texts[i] = text
        for i in longest:
            texts[longer[i]] = f"{values[longer[i]]:.{enough}g}"
    return [text if "." in text or "e" in text else f"{text}.0" for text in texts]


def _try(digits: int, values: "Sequence[float]", dtype: str) -> tuple[list[str], list[int]]:
    """The decimals of so many digits, and where they are another value."""
    if not values:
        return [], []
    text = _formatted(digits, values)
    back = _read_back(text, dtype)
    return text.split(","), [i for i, value in enumerate(values) if value != back[i]]


def _formatted(digits: int, values: "Sequence[float]") -> str:
    return ",".join([f"%.{digits}g"] * len(values)) % tuple(values)


def _read_back(text: str, dtype: str) -> "Sequence[float]":
    """What a client of ``dtype`` reads: ten times quicker than ``float`` of each."""
    numbers: Any = memoryview(parse(b"[%b]" % text.encode()).as_buffer(of_type="d")).cast("d")
    return _unpacked(cast(numbers, dtype)[0], dtype)
