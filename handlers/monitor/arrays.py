"""Tensors as the handler has them, as numpy's arrays."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt


def array_of(dtype: str, shape: Sequence[int], data: Any) -> npt.NDArray[Any]:
    """An array that shares the bytes ``data``; of strings, which are a list, one of objects."""
    if isinstance(data, list):
        found = np.empty(len(data), object)
        found[:] = data
        return found.reshape(shape)
    return np.frombuffer(data, dtype).reshape(shape)
