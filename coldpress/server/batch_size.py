"""How many rows should run as one: measured on a golden sample, and 1 where it does not pay or not hold."""

import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bundle.arrays import golden_samples, load_npz
from bundle.errors import BundleError
from handlers.inference.dataplane import Model, takes_batches
from handlers.inference.errors import RequestError
from handlers.inference.tensor import Tensor

Array = npt.NDArray[np.generic]

# Less is not worth what joining and splitting costs. Of the sizes, the smallest that gets nearly all of it.
_WORTH = 1.15
_NEARLY = 0.95
_SECONDS_EACH = 0.06
# Other kernels run for other sizes, so sums are rounded elsewhere. A model that looks across rows differs
# by more.
_TOLERANCE = 1e-4


def best_rows(model: Model, golden: Path, limit: int) -> int:
    """The number of rows, at most ``limit``, from which more of them gain nothing; takes less than a second.

    Args:
        model: the one that serves; nobody else uses it meanwhile.
        golden: the bundle's golden samples.
        limit: of the answer, at least 1.
    """
    if limit == 1 or not takes_batches(model):
        return 1
    try:
        row = _golden_row(golden)
        if row is None or not _is_by_row(model, row):
            return 1
        rates = {rows: rows / _seconds(model, _repeated(row, rows)) for rows in _sizes(limit)}
    except (BundleError, OSError, RequestError):
        return 1
    best = max(rates.values())
    if best < _WORTH * rates[1]:
        return 1
    return next(rows for rows, rate in rates.items() if rate >= _NEARLY * best)


def _sizes(limit: int) -> list[int]:
    sizes = [1]
    while sizes[-1] * 2 <= limit:
        sizes.append(sizes[-1] * 2)
    return sizes


def _golden_row(golden: Path) -> dict[str, Array] | None:
    """The first row of the first sample; None for text, of which nothing is known."""
    samples = golden_samples(load_npz(golden))
    if not samples:
        return None
    row = {name: np.ascontiguousarray(array[:1]) for name, array in samples[0][0].items()}
    return None if any(array.dtype.kind not in "biuf" or not array.size for array in row.values()) else row


def _is_by_row(model: Model, row: Mapping[str, Array]) -> bool:
    """Whether a row's answer stays what it is beside other rows."""
    # The same values in another order are a valid input, and unlike the first.
    other = {
        name: np.ascontiguousarray(array.ravel()[::-1].reshape(array.shape)) for name, array in row.items()
    }
    smaller = {name: _halved(array) for name, array in row.items()}
    rows = [row, other, smaller]
    joined = {name: np.concatenate([one[name] for one in rows]) for name in row}
    together = _infer(model, joined)
    for index, one in enumerate(rows):
        for name, alone in _infer(model, one).items():
            if alone.shape[0] != 1 or together[name].shape[0] != len(rows):
                return False
            scale = float(np.abs(alone.astype(np.float64)).max(initial=0)) or 1.0
            difference = np.abs(together[name][index].astype(np.float64) - alone[0].astype(np.float64))
            if not float(difference.max(initial=0)) <= _TOLERANCE * scale:
                return False
    return True


def _halved(array: Array) -> Array:
    """Floats of another range, which tells a scale that is taken over all rows; whole numbers as they are."""
    return np.divide(array, 2).astype(array.dtype) if array.dtype.kind == "f" else array


def _infer(model: Model, arrays: Mapping[str, Array]) -> dict[str, Array]:
    outputs = model.infer({name: Tensor.of(array) for name, array in arrays.items()})
    return {
        name: np.frombuffer(tensor.data, tensor.dtype).reshape(tensor.shape)
        for name, tensor in outputs.items()
        if not isinstance(tensor.data, list)
    }


def _repeated(row: Mapping[str, Array], rows: int) -> dict[str, Tensor]:
    return {name: Tensor.of(np.repeat(array, rows, axis=0)) for name, array in row.items()}


def _seconds(model: Model, inputs: dict[str, Tensor]) -> float:
    """The quickest of some runs: others on the machine only ever slow one down."""
    best, end = float("inf"), time.perf_counter() + _SECONDS_EACH
    while time.perf_counter() < end or best == float("inf"):
        start = time.perf_counter()
        model.infer(inputs)
        best = min(best, time.perf_counter() - start)
    return best
