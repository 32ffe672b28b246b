"""Weights in 4 or 8 bits with a scale for each block of a row, as ONNX Runtime's own operators store them."""

import numpy as np
import numpy.typing as npt

from optimizer.passes._graph import Floats

# The operators take blocks of powers of 2 from 16.
_LARGEST_BLOCK, _SMALLEST_BLOCK = 128, 16
_SHARES = np.linspace(0.7, 1.0, 7, dtype=np.float32)
_AT_ONCE = 4096

Blocks = tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]


def block_of(width: int) -> int | None:
    """The largest block that divides a row, if there is one."""
    block = _LARGEST_BLOCK
    while width % block:
        block //= 2
    return block if block >= _SMALLEST_BLOCK else None


def quantize_blocks(rows: Floats, block: int, bits: int) -> Blocks:
    """Quantise [rows, width], symmetric, with the scale of least squared error for each block.

    Returns:
        Bytes [rows, width * bits / 8], of which 4 bits hold two values, the first in the low half, and scales
        [rows, width / block]. The level that means 0 is in the middle: 8 or 128.
    """
    blocks = rows.reshape(-1, block)
    parts = [_rounded(blocks[at : at + _AT_ONCE], bits) for at in range(0, len(blocks), _AT_ONCE)]
    levels = np.concatenate([part[0] for part in parts]).reshape(len(rows), -1)
    scale = np.concatenate([part[1] for part in parts]).reshape(len(rows), -1)
    return (levels[:, 0::2] | levels[:, 1::2] << 4 if bits == 4 else levels), scale


def _rounded(blocks: Floats, bits: int) -> Blocks:
    """Levels and scales; these may be negative, because there is a level -8 but no level 8."""
    half = 2 ** (bits - 1)
    extreme = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=1)[:, None], axis=1)
    extreme = np.where(extreme == 0, np.float32(1), extreme).astype(np.float32)
    best = np.full((len(blocks), 1), np.inf, np.float32)
    chosen, levels = np.ones_like(best), np.zeros(blocks.shape, np.float32)
    # With 256 levels, clipping gains nothing.
    shares = _SHARES if bits == 4 else _SHARES[-1:]
    for scale in (extreme * share / largest for share in shares for largest in (-half, half - 1)):
        whole = np.clip(np.rint(blocks / scale), -half, half - 1)
        error = np.square(whole * scale - blocks).sum(axis=1, keepdims=True)
        better = error < best
        best, chosen = np.where(better, error, best), np.where(better, scale, chosen)
        levels = np.where(better, whole, levels)
    return (levels + half).astype(np.uint8), chosen[:, 0].astype(np.float32)
