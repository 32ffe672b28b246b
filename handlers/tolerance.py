"""How far an answer may be from another one, of which it should be the same.

Without numpy, which the image does not have.
"""

import math
import struct

from handlers.inference.tensor import STRUCT_CODES, Tensor

# Twice what was measured where the bundle was made, because other CPUs round differently; and a thousandth of
# the largest value, because that is what they may differ by where nothing was lost at all.
_FACTOR, _RELATIVE = 2.0, 1e-3


def allowed_difference(wanted: Tensor, measured: float) -> float:
    """How far an answer may be from ``wanted``; ``measured`` is the manifest's ``golden_error``."""
    if not wanted.dtype.startswith("float"):
        return _FACTOR * measured
    largest = max((abs(value) for value in numbers(wanted) if math.isfinite(value)), default=0.0)
    return _FACTOR * measured + _RELATIVE * largest


def difference(answer: Tensor, wanted: Tensor) -> float:
    """The largest absolute difference; for text 1 where it differs.

    Infinite for another dtype or shape, and where a number was wanted and none came.
    """
    if (answer.dtype, answer.shape) != (wanted.dtype, wanted.shape):
        return math.inf
    if isinstance(wanted.data, list):
        return float(answer.data != wanted.data)
    largest = 0.0
    for have, want in zip(numbers(answer), numbers(wanted), strict=True):
        if math.isfinite(want):
            largest = max(largest, abs(have - want)) if math.isfinite(have) else math.inf
    return largest


def numbers(tensor: Tensor) -> tuple[float, ...]:
    """The elements of a tensor that holds no text, in row-major order."""
    code = "B" if tensor.dtype == "bool" else STRUCT_CODES[tensor.dtype]
    return struct.unpack(f"<{tensor.size}{code}", bytes(tensor.data))  # type: ignore[arg-type] # no text here
