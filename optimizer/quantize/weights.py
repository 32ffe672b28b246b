"""Symmetric int8 weights that give the same answers on every CPU.

AVX2 without VNNI multiplies u8 activations by s8 weights with ``vpmaddubsw``, which adds two neighbouring
products into 16 bits *with saturation*. 255 * (|w1| + |w2|) stays below 2**15 if |w1| + |w2| <= 128.
Seven-bit weights keep that always; choosing each channel's scale so that no neighbouring pair exceeds it
loses less, because two large neighbours are rare.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

LARGEST = 127
LARGEST_PAIR = 128
_SMALLEST = 1e-30

Floats = npt.NDArray[np.floating[Any]]
Order = npt.NDArray[np.intp]


class Rounding(Protocol):
    """What quantises a layer's weights: ``quantize_channels``, or what does better, knowing its inputs."""

    def __call__(
        self, weight: Floats, orders: Sequence[Order] = (), *, saturates: bool = True
    ) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
        """As ``quantize_channels``."""


def quantize_channels(
    weight: Floats, orders: Sequence[Order] = (), *, saturates: bool = True
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Quantise [channels, reduced] by row.

    ``orders`` are the orders in which a kernel may walk the reduced axis, beside the given one. With
    ``saturates`` no two neighbours in any of them exceed 128 together, in absolute values.

    Returns:
        int8 [channels, reduced], and float32 [channels] with weight = scale * quantised.
    """
    rows = np.asarray(weight, np.float64)
    limit = np.abs(rows).max(axis=1, initial=0.0) / LARGEST
    walks = [np.arange(rows.shape[1]), *orders] if saturates else []
    for walk in walks:
        magnitude = np.abs(rows[:, walk])
        pairs = magnitude[:, 1:] + magnitude[:, :-1]
        limit = np.maximum(limit, pairs.max(axis=1, initial=0.0) / LARGEST_PAIR)
    # A row of zeros, or of what rounds to zero beside any input, needs no scale of its own.
    scale = np.where(limit > _SMALLEST, limit, 1.0).astype(np.float32)
    exact = rows / scale[:, None].astype(np.float64)
    quantised = np.clip(np.rint(exact), -LARGEST, LARGEST)
    return _without_saturating_pairs(quantised, exact, walks).astype(np.int8), scale


def _without_saturating_pairs(quantised: Floats, exact: Floats, walks: Sequence[Order]) -> Floats:
    """Undo, in pairs that rounding pushed over the limit, the rounding that added more.

    It ends: every step brings one weight a step nearer to zero, and pairs of truncated weights are within the
    limit.
    """
    changed = True
    while changed:
        changed = False
        for walk in walks:
            magnitude = np.abs(quantised[:, walk])
            row, left = np.nonzero(magnitude[:, 1:] + magnitude[:, :-1] > LARGEST_PAIR)
            if row.size == 0:
                continue
            added = magnitude - np.abs(exact[:, walk])
            worse = np.where(added[row, left] >= added[row, left + 1], left, left + 1)
            column = walk[worse]
            # Two pairs may share a weight: it is lowered once, and looked at again.
            hit = np.unique(np.stack([row, column]), axis=1)
            quantised[hit[0], hit[1]] -= np.sign(quantised[hit[0], hit[1]])
            changed = True
    return quantised


def channels_last_order(shape: Sequence[int]) -> Order:
    """The order (kernel position, input channel) of a flattened [input channels, *kernel]."""
    return np.moveaxis(np.arange(int(np.prod(shape))).reshape(shape), 0, -1).reshape(-1)
