"""The bundle's golden samples, and how far an answer may be from them.

Read without numpy, which the image does not have; nothing in the file is executed.
"""

import io
import math
import struct
import zipfile
from collections.abc import Iterable
from typing import NamedTuple

from handlers.inference.description.golden import Unusable, read_array
from handlers.inference.tensor import STRUCT_CODES, Tensor

# As large as the file may be, which `optimize` keeps to some 8 MiB.
_MAX_ELEMENTS = 2**26
# Twice what was measured where the bundle was made, because other CPUs round differently; and a thousandth of
# the largest value, because that is what they may differ by where nothing was lost at all.
_FACTOR, _RELATIVE = 2.0, 1e-3


class Sample(NamedTuple):
    """Real inputs, and the original model's outputs for them."""

    number: int
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]


def read_samples(content: bytes) -> list[Sample]:
    """The samples in ``golden.npz``; those that hold what cannot be sent are left out."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        numbers = sorted({int(name.partition("/")[0]) for name in archive.namelist()})
        samples = []
        for number in numbers:
            try:
                inputs, outputs = (_read_side(archive, f"{number}/{side}/") for side in ("inputs", "outputs"))
            except Unusable:
                continue
            samples.append(Sample(number, inputs, outputs))
        return samples


def allowed_difference(wanted: Tensor, measured: float) -> float:
    """How far an answer may be from ``wanted``; ``measured`` is the manifest's ``golden_error``."""
    if not wanted.dtype.startswith("float"):
        return _FACTOR * measured
    largest = max((abs(value) for value in _numbers(wanted) if math.isfinite(value)), default=0.0)
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
    for have, want in zip(_numbers(answer), _numbers(wanted), strict=True):
        if math.isfinite(want):
            largest = max(largest, abs(have - want)) if math.isfinite(have) else math.inf
    return largest


def _read_side(archive: zipfile.ZipFile, prefix: str) -> dict[str, Tensor]:
    tensors = {}
    for name in archive.namelist():
        if name.startswith(prefix):
            with archive.open(name) as file:
                tensors[name.removeprefix(prefix).removesuffix(".npy")] = read_array(file, _MAX_ELEMENTS)
    return tensors


def _numbers(tensor: Tensor) -> Iterable[float]:
    code = "B" if tensor.dtype == "bool" else STRUCT_CODES[tensor.dtype]
    return struct.unpack(f"<{tensor.size}{code}", bytes(tensor.data))  # type: ignore[arg-type] # no text here
