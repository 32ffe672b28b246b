"""Ranges of activations on calibration data, clipped where that lowers the squared error."""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import onnx

from optimizer.runtime import Feeds, optimised_session

Range = tuple[float, float]

# Values kept of each tensor and sample: enough for the error of a grid, small enough for any network.
_KEPT = 2048
_SHARES = np.linspace(0.3, 1.0, 36)
_LEVELS = 255


def observe(model: bytes, names: Sequence[str], samples: Iterable[Feeds], seed: int) -> dict[str, Range]:
    """The u8 range of each named float32 value that has the least squared rounding error over the samples.

    Extremes are exact; the error is taken on a random share of the values.

    Returns:
        name -> (low, high) with low <= 0 <= high. Values that are never finite are missing.
    """
    proto = onnx.load_model_from_string(model)
    outputs = {value.name for value in proto.graph.output}
    wanted = list(dict.fromkeys(names))
    proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted if name not in outputs)
    session = optimised_session(proto.SerializeToString())
    random = np.random.default_rng(seed)
    kept: dict[str, list[npt.NDArray[np.float32]]] = {name: [] for name in wanted}
    for feeds in samples:
        for name, array in zip(wanted, session.run(wanted, dict(feeds)), strict=True):
            values = array.reshape(-1)
            if values.size and np.isfinite(values).all():
                share = random.choice(values, _KEPT, replace=False) if values.size > _KEPT else values
                kept[name].append(np.append(share, [values.min(), values.max()]).astype(np.float32))
    return {name: least_error(np.concatenate(parts)) for name, parts in kept.items() if parts}


def least_error(values: npt.NDArray[np.float32]) -> Range:
    """The share of (min, max) that quantises the values to 256 levels with the least squared error."""
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    if low == high:
        return low, high
    best, chosen = np.inf, 1.0
    for share in _SHARES[::-1]:
        scale = (high - low) * share / _LEVELS
        # float32 in place: this is the slowest part of calibration
        levels = np.rint(values / np.float32(scale))
        np.clip(levels, np.rint(low * share / scale), np.rint(high * share / scale), out=levels)
        levels *= np.float32(scale)
        levels -= values
        error = float(np.dot(levels, levels))
        if error < best:
            best, chosen = error, float(share)
    return low * chosen, high * chosen


def scale_and_zero_point(low: float, high: float) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """What QuantizeLinear to u8 needs for a range that holds zero."""
    scale = max((high - low) / _LEVELS, 1e-12)
    return np.array(scale, np.float32), np.array(np.clip(np.rint(-low / scale), 0, _LEVELS), np.uint8)
