"""What the last requests were like: for people's eyes and for naming what moved, never for the drift alarm.

Sums over slots of ``SLOT`` requests, which may be added up in any order; no request is kept as it came.
"""

from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from monitoring.features import LARGEST

SLOT = 64
SLOTS = 8
LATEST = 64
HASHES = 512

Array = npt.NDArray[Any]


class Moments(NamedTuple):
    """Of each feature, [features].

    The number of finite values, their sum, sum of squares, least and largest; the number of those that are
    not 0, and the sum of their magnitudes' logarithms and of the logarithms' squares.
    """

    values: Array
    total: Array
    squares: Array
    least: Array
    largest: Array
    nonzero: Array
    logs: Array
    log_squares: Array


class Windows(msgspec.Struct, kw_only=True):
    """Sums by slot, and rings of the latest requests.

    ``moments``: [SLOTS, features, 8]; ``requests``, ``repeated``, ``promised``, ``expected``: [SLOTS]
    requests, those whose inputs came shortly before, those whose confidence is known, and the right ones that
    it promises. ``residuals``: those of the latest requests given the other columns, standardised.
    ``hashes``: of the last requests' inputs.
    """

    moments: Array
    requests: Array
    repeated: Array
    promised: Array
    expected: Array
    residuals: Array
    hashes: Array


def begin(features: int, residuals: int) -> Windows:
    """Before the first request."""
    moments = np.zeros((SLOTS, features, len(Moments._fields)))
    moments[:, :, 3], moments[:, :, 4] = np.inf, -np.inf
    return Windows(
        moments=moments,
        requests=np.zeros(SLOTS, np.int64),
        repeated=np.zeros(SLOTS, np.int64),
        promised=np.zeros(SLOTS, np.int64),
        expected=np.zeros(SLOTS),
        residuals=np.zeros((LATEST, residuals), np.float16),
        hashes=np.zeros(HASHES, np.uint32),
    )


class Seen(NamedTuple):
    """Of a batch of requests: ``columns`` are [requests, features], and the rest as in ``Windows``."""

    columns: Array
    residuals: Array
    hashes: Array
    expected: Array


def advance(windows: Windows, first: int, seen: Seen) -> None:
    """Add requests, the first of which has the number ``first``."""
    columns, residuals, hashes, expected = seen
    repeated = _repeated(windows, first, hashes)
    start = 0
    while start < len(columns):
        number = first + start
        end = min(start + SLOT - number % SLOT, len(columns))
        slot = number // SLOT % SLOTS
        if number % SLOT == 0:
            fresh = begin(columns.shape[1], 0)
            windows.moments[slot] = fresh.moments[0]
            windows.requests[slot] = windows.repeated[slot] = windows.promised[slot] = 0
            windows.expected[slot] = 0
        _add(windows.moments[slot], columns[start:end])
        windows.requests[slot] += end - start
        windows.repeated[slot] += int(repeated[start:end].sum())
        windows.promised[slot] += int(np.isfinite(expected[start:end]).sum())
        windows.expected[slot] += float(np.nansum(expected[start:end]))
        start = end
    kept = np.arange(max(0, len(residuals) - LATEST), len(residuals))
    windows.residuals[(first + kept) % LATEST] = np.clip(residuals[kept], -6e4, 6e4)


def moments(windows: Windows, count: int, slots: int = SLOTS) -> tuple[Moments, int]:
    """Of the last slots together, and the number of their requests; ``count`` requests came in all."""
    newest = (count - 1) // SLOT
    chosen = [slot % SLOTS for slot in range(max(0, newest - slots + 1), newest + 1)] if count else []
    part = windows.moments[chosen]
    least = part[:, :, 3].min(axis=0, initial=np.inf)
    largest = part[:, :, 4].max(axis=0, initial=-np.inf)
    sums = part.sum(axis=0)
    found = Moments(sums[:, 0], sums[:, 1], sums[:, 2], least, largest, sums[:, 5], sums[:, 6], sums[:, 7])
    return found, int(windows.requests[chosen].sum())


def _add(slot: Array, columns: Array) -> None:
    finite = np.isfinite(columns)
    filled = np.where(finite, np.clip(columns, -LARGEST, LARGEST), 0)
    sizes = np.abs(filled)
    with np.errstate(over="ignore", divide="ignore"):
        slot[:, 0] += finite.sum(axis=0)
        slot[:, 1] += filled.sum(axis=0)
        slot[:, 2] += (filled**2).sum(axis=0)
        slot[:, 3] = np.minimum(slot[:, 3], np.where(finite, columns, np.inf).min(axis=0))
        slot[:, 4] = np.maximum(slot[:, 4], np.where(finite, columns, -np.inf).max(axis=0))
        slot[:, 5] += (sizes > 0).sum(axis=0)
        logs = np.log(np.where(sizes > 0, sizes, 1))
        slot[:, 6] += logs.sum(axis=0)
        slot[:, 7] += (logs**2).sum(axis=0)


def _repeated(windows: Windows, first: int, hashes: Array) -> Array:
    """Which requests' inputs are those of one of the ``HASHES`` before."""
    found = np.zeros(len(hashes), bool)
    known = set(windows.hashes[: min(first, HASHES)].tolist())
    for index, value in enumerate(hashes.tolist()):
        found[index] = value in known
        place = (first + index) % HASHES
        if first + index >= HASHES:
            known.discard(int(windows.hashes[place]))
        windows.hashes[place] = value
        known.add(value)
    return found
