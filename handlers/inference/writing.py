"""Tensors to JSON text; floats as the shortest decimals that give the same float back.

0.1 as float32 is 0.10000000149011612 as float64: three times the digits for nothing. NaN and the infinities
are the literals ``NaN``, ``Infinity`` and ``-Infinity``.
"""

import _json

import pybase64

from handlers.inference.native import MAX_RANK, write_numbers
from handlers.inference.tensor import STRUCT_CODES, element_count

TYPE_CHECKING = False  # typing itself costs a cold start 3 ms
if TYPE_CHECKING:
    from collections.abc import Sequence

    from handlers.inference.tensor import Tensor


def to_json(tensor: "Tensor") -> str:
    """The elements as lists in lists; a scalar as itself."""
    if isinstance(tensor.data, memoryview) and tensor.dtype != "bool" and 0 < len(tensor.shape) <= MAX_RANK:
        return write_numbers(tensor.data, STRUCT_CODES[tensor.dtype], tensor.shape)
    return nest(to_texts(tensor), tensor.shape)


def to_flat_json(tensor: "Tensor") -> str:
    """The elements as one list in row-major order; NaN and infinities as strings, which all readers take."""
    if isinstance(tensor.data, memoryview) and tensor.dtype != "bool":
        return write_numbers(tensor.data, STRUCT_CODES[tensor.dtype], (tensor.size,), is_quoted=True)
    return f"[{','.join(to_texts(tensor))}]"


def to_texts(tensor: "Tensor") -> list[str]:
    """Each element as JSON, in row-major order."""
    if isinstance(tensor.data, list):
        return [_json.encode_basestring(text.decode(errors="replace")) for text in tensor.data]
    if tensor.dtype == "bool":
        return ["true" if value else "false" for value in tensor.data]
    text = write_numbers(tensor.data, STRUCT_CODES[tensor.dtype], (tensor.size,))
    return text[1:-1].split(",") if tensor.size else []


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
