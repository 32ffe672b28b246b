"""Ranges of activations on calibration data, clipped where that lowers the squared error."""

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
_SHARES = np.linspace(0.98, 0.3, 18, dtype=np.float32)
_SMALLEST = 1e-12
_SMALLEST_SHARE = 1e-3
_LEVELS = 255


def observe(model: bytes, names: Sequence[str], samples: Iterable[Feeds], seed: int) -> dict[str, Range]:
    """The u8 range of each named float32 value that has the least squared rounding error over the samples.

    Extremes are exact; the error is taken on a random share of the values.

    Returns:
        name -> (low, high) with low <= 0 <= high. Values that are never finite are missing.
    """
    kept = _observe(model, names, samples, seed, lambda array: (array.reshape(1, -1), _KEPT))
    ranges = {name: least_error(rows) for name, rows in kept.items()}
    return {name: (float(low[0]), float(high[0])) for name, (low, high) in ranges.items()}


def observe_channels(
    model: bytes, names: Sequence[str], samples: Iterable[Feeds], seed: int
) -> dict[str, ChannelRanges]:
    """The same for each channel (axis 1) of each named value."""

    def by_channel(array: Floats) -> tuple[Floats, int]:
        return np.moveaxis(array, 1, 0).reshape(array.shape[1], -1), _KEPT_BY_CHANNEL

    kept = _observe(model, names, samples, seed, by_channel)
    return {name: least_error(rows) for name, rows in kept.items()}


def _observe(
    model: bytes,
    names: Sequence[str],
    samples: Iterable[Feeds],
    seed: int,
    as_rows: Callable[[Floats], tuple[Floats, int]],
) -> dict[str, Floats]:
    """Values as ``as_rows`` gives them: extremes, and as many columns of each sample as it says."""
    wanted = list(dict.fromkeys(names))
    session = optimised_session(with_outputs(model, wanted))
    random = np.random.default_rng(seed)
    kept: dict[str, list[Floats]] = {name: [] for name in wanted}
    for feeds in samples:
        for name, array in zip(wanted, session.run(wanted, dict(feeds)), strict=True):
            if array.size and np.isfinite(array).all():
                rows, count = as_rows(array)
                share = rows[:, random.integers(0, rows.shape[1], count)] if rows.shape[1] > count else rows
                kept[name] += [share, rows.min(axis=1, keepdims=True), rows.max(axis=1, keepdims=True)]
    return {name: np.concatenate(parts, axis=1) for name, parts in kept.items() if parts}


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


def scales_and_zero_points(
    low: Floats, high: Floats
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """The same by channel. A channel that hardly moves beside the others needs no finer scale than theirs."""
    scale = np.maximum((high - low) / _LEVELS, _SMALLEST)
    scale = np.maximum(scale, scale.max() * _SMALLEST_SHARE).astype(np.float32)
    return scale, np.clip(np.rint(-low / scale), 0, _LEVELS).astype(np.uint8)
