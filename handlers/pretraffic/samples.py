"""The bundle's golden samples.

Read without numpy, which the image does not have; nothing in the file is executed.
"""

import io
import zipfile
from typing import NamedTuple

from handlers.inference.description.golden import Unusable, read_array
from handlers.inference.tensor import Tensor

# As large as the file may be, which `optimize` keeps to some 8 MiB.
_MAX_ELEMENTS = 2**26


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


def _read_side(archive: zipfile.ZipFile, prefix: str) -> dict[str, Tensor]:
    tensors = {}
    for name in archive.namelist():
        if name.startswith(prefix):
            with archive.open(name) as file:
                tensors[name.removeprefix(prefix).removesuffix(".npy")] = read_array(file, _MAX_ELEMENTS)
    return tensors
