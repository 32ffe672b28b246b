"""Small pictures of what is one: PNG as a data URL, by zlib alone."""

import base64
import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

_LEAST, _MOST = 8, 160  # pixels of a side
_GREY, _COLOUR = 0, 2  # PNG's colour types

Array = npt.NDArray[Any]


def picture_of(values: Array) -> str | None:
    """One request's tensor as a picture; none if its shape is no picture's.

    Values run from the tensor's least to its largest; a side of more than 160 pixels is thinned out.
    """
    pixels = _as_pixels(np.asarray(values))
    if pixels is None:
        return None
    step = -(-max(pixels.shape[:2]) // _MOST)
    return "data:image/png;base64," + base64.b64encode(_png(pixels[::step, ::step])).decode()


def _as_pixels(values: Array) -> Array | None:
    """uint8 [height, width, 1 or 3]."""
    if values.dtype.kind not in "fiu" or values.ndim not in (2, 3):
        return None
    if values.ndim == 2:
        values = values[:, :, np.newaxis]
    elif values.shape[0] in (1, 3):
        values = np.moveaxis(values, 0, 2)
    if values.shape[2] not in (1, 3) or min(values.shape[:2]) < _LEAST:
        return None
    finite = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(finite.min()), float(finite.max())
    return np.asarray((finite - low) / ((high - low) or 1.0) * 255).round().astype(np.uint8)


def _png(pixels: Array) -> bytes:
    height, width, channels = pixels.shape
    rows = pixels.reshape(height, width * channels)
    raw = np.concatenate([np.zeros((height, 1), np.uint8), rows], axis=1).tobytes()  # each row unfiltered
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOUR if channels == 3 else _GREY, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(raw, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
