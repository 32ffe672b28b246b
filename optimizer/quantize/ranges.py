"""Ranges of activations on calibration data: for tensors several, of which ``search.clipping`` takes one.

Percentiles and others compared: Wu, Judd, Zhang, Isaev, Micikevicius: "Integer Quantization for Deep Learning
Inference", 2020, section 5.1. None is the best for all values of a network.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt
import onnx

from optimizer.runtime import Feeds, optimised_session

Range = tuple[float, float]
ChannelRanges = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
Floats = npt.NDArray[np.float32]

# Values kept of each tensor and sample: enough for the error of a grid, small enough for any network.
_KEPT = 512
_KEPT_BY_CHANNEL = 24
_PARTS = (0.9999, 0.999)
_SHARES = np.linspace(0.98, 0.3, 18, dtype=np.float32)
_SMALLEST = 1e-12
_SMALLEST_SHARE = 1e-3
_LEVELS = 255


def observe(
    model: bytes, names: Sequence[str], samples: Iterable[Feeds], seed: int
) -> dict[str, list[Range]]:
    """u8 ranges of each named float32 value, in the ways of ``several``.

    Extremes are exact; all else is taken from a random share of the values.

    Returns:
        name -> (low, high), several, with low <= 0 <= high. Values that are never finite are missing.
    """
    kept = _observe(model, names, samples, seed, lambda array: (array.reshape(1, -1), _KEPT))
    return {name: several(share, extremes) for name, (share, extremes) in kept.items()}


def observe_channels(
    model: bytes, names: Sequence[str], samples: Iterable[Feeds], seed: int
) -> dict[str, ChannelRanges]:
    """By channel (axis 1) of each named value, the range of least squared error."""

    def by_channel(array: Floats) -> tuple[Floats, int]:
        return np.moveaxis(array, 1, 0).reshape(array.shape[1], -1), _KEPT_BY_CHANNEL

    kept = _observe(model, names, samples, seed, by_channel)
    return {name: least_error(np.concatenate(parts, axis=1)) for name, parts in kept.items()}


def several(share: Floats, extremes: Floats) -> list[Range]:
    """Ranges in several ways from a share of the values [1, n] and each sample's extremes [1, m].

    1. The one of least squared error.
    2. All values.
    3. The middle one of the samples' least values, and of their largest.
    4. 99.99 % and 99.9 % of the share.
    """
    low, high = least_error(np.concatenate([share, extremes], axis=1))
    middle = np.median(extremes.reshape(-1, 2), axis=0)
    ends = [(low[0], high[0]), (extremes.min(), extremes.max()), (middle[0], middle[1])]
    ends += [tuple(np.quantile(share, [1 - part, part])) for part in _PARTS]
    return list(dict.fromkeys((min(float(low), 0.0), max(float(high), 0.0)) for low, high in ends))


def _observe(
    model: bytes,
    names: Sequence[str],
    samples: Iterable[Feeds],
    seed: int,
    as_rows: Callable[[Floats], tuple[Floats, int]],
) -> dict[str, tuple[Floats, Floats]]:
    """Values as ``as_rows`` gives them: of each sample as many columns as it says, and the extremes."""
    wanted = list(dict.fromkeys(names))
    session = optimised_session(with_outputs(model, wanted))
    random = np.random.default_rng(seed)
    kept: dict[str, list[tuple[Floats, Floats]]] = {name: [] for name in wanted}
    for feeds in samples if wanted else ():
        for name, array in zip(wanted, session.run(wanted, dict(feeds)), strict=True):
            if array.size and np.isfinite(array).all():
                rows, count = as_rows(array)
                share = rows[:, random.integers(0, rows.shape[1], count)] if rows.shape[1] > count else rows
                kept[name].append((share, np.stack([rows.min(axis=1), rows.max(axis=1)], axis=1)))
    return {
        name: (np.concatenate([a for a, _ in parts], axis=1), np.concatenate([b for _, b in parts], axis=1))
        for name, parts in kept.items()
        if parts
    }


def with_outputs(model: bytes, names: Sequence[str]) -> bytes:
    """The model with further values as outputs."""
    proto = onnx.load_model_from_string(model)
    there = {value.name for value in proto.graph.output}
    proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in there)
    data: bytes = proto.SerializeToString()
    return data


def least_error(rows: Floats) -> ChannelRanges:
    """By row, the (low, high) that quantises its values to 256 levels with the least squared error.

    First the upper end is drawn in, then the lower one; zero stays within.
    """
    low = np.minimum(rows.min(axis=1), 0).astype(np.float32)
    high = np.maximum(rows.max(axis=1), 0).astype(np.float32)
    best = _errors(rows, low, high)
    for end in (high, low):
        widest = end.copy()
        for share in _SHARES:
            old = end.copy()
            end[:] = widest * share
            errors = _errors(rows, low, high)
            better = errors < best
            best = np.where(better, errors, best)
            end[~better] = old[~better]
    return low, high


def _errors(rows: Floats, low: Floats, high: Floats) -> Floats:
    """By row, the squared rounding errors of a range; float32 in place: this is the slowest part."""
    scale = np.maximum((high - low) / np.float32(_LEVELS), np.float32(_SMALLEST))[:, None]
    levels = rows / scale
    np.rint(levels, out=levels)
    np.clip(levels, np.rint(low[:, None] / scale), np.rint(high[:, None] / scale), out=levels)
    levels *= scale
    levels -= rows
    errors: Floats = np.einsum("ij,ij->i", levels, levels)
    return errors


def scale_and_zero_point(low: float, high: float) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """What QuantizeLinear to u8 needs for a range that holds zero."""
    scale = max((high - low) / _LEVELS, _SMALLEST)
    return np.array(scale, np.float32), np.array(np.clip(np.rint(-low / scale), 0, _LEVELS), np.uint8)


def rounded_to_u8(array: Floats, low: float, high: float) -> Floats:
    """What is left of an array [any shape] that is quantised in a range."""
    scale, zero = scale_and_zero_point(low, high)
    levels = np.clip(np.rint(array / scale) + np.float32(zero), 0, _LEVELS)
    return np.asarray((levels - np.float32(zero)) * scale, np.float32)


def scales_and_zero_points(
    low: Floats, high: Floats
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """The same by channel. A channel that hardly moves beside the others needs no finer scale than theirs."""
    scale = np.maximum((high - low) / _LEVELS, _SMALLEST)
    scale = np.maximum(scale, scale.max() * _SMALLEST_SHARE).astype(np.float32)
    return scale, np.clip(np.rint(-low / scale), 0, _LEVELS).astype(np.uint8)
