"""Arrays in JSON and MessagePack: type, shape and deflated bytes (in JSON as base64)."""

import base64
import zlib
from typing import Any

import msgspec
import numpy as np

_DTYPES = ("<f2", "<f4", "<f8", "<i4", "<i8", "<u4", "|u1")


def pack(value: Any) -> Any:
    """``enc_hook``: an array as a list of three."""
    if isinstance(value, np.ndarray):
        array = np.ascontiguousarray(value)
        return [array.dtype.newbyteorder("<").str, list(array.shape), zlib.compress(array.tobytes(), 6)]
    raise NotImplementedError(f"{type(value).__name__} cannot be written.")


def unpack(_type: type, value: Any) -> Any:
    """``dec_hook``: the array, which may be written to.

    Raises:
        msgspec.ValidationError: it is not one.
    """
    try:
        dtype, shape, data = value
        if dtype not in _DTYPES:
            raise ValueError(dtype)
        raw = base64.b64decode(data, validate=True) if isinstance(data, str) else data
        return np.frombuffer(zlib.decompress(raw), dtype).reshape(shape).copy()
    except (TypeError, ValueError, zlib.error) as error:
        raise msgspec.ValidationError(f"not an array: {error}") from None
