"""What inputs and outputs looked like when the model was pressed: ``baseline.json``."""

from collections import Counter
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

SCHEMA_VERSION = 1
PROBABILITIES = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)

_KEPT_VALUES = 100_000  # of each tensor, for quantiles and categories
_KEPT_OF_SAMPLE = 2048
_TOP = 32
_MAX_DISTINCT = 10_000

Array = npt.NDArray[Any]


class _Struct(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings that all parts of the baseline share."""


class Numbers(_Struct, frozen=True, kw_only=True):
    """Moments and quantiles of the finite values; ``quantiles`` are at ``PROBABILITIES``."""

    mean: float
    std: float
    min: float
    max: float
    quantiles: list[float]


class Categories(_Struct, frozen=True, kw_only=True):
    """The most frequent values and their shares, and how many different ones were seen."""

    shares: dict[str, float]
    distinct: int


class Distribution(_Struct, frozen=True, kw_only=True):
    """One tensor over the samples; ``nan_share`` is the share of values that are no finite number.

    ``numbers`` is there for numeric tensors; ``categories`` for integers, booleans and strings; ``classes``,
    the argmax along the last axis, for floats with more than one value there.
    """

    samples: int
    count: int
    nan_share: float
    numbers: Numbers | None = None
    categories: Categories | None = None
    classes: Categories | None = None


class Baseline(_Struct, frozen=True, kw_only=True):
    """``baseline.json``: a distribution for each input and output."""

    inputs: dict[str, Distribution]
    outputs: dict[str, Distribution]
    schema_version: int = SCHEMA_VERSION


class Summary:
    """One tensor, summarised sample by sample in bounded memory."""

    def __init__(self, seed: int = 0) -> None:
        self._random = np.random.default_rng(seed)
        self._samples = self._count = self._finite = 0
        self._mean = self._squares = 0.0
        self._min, self._max = np.inf, -np.inf
        self._values: list[Array] = []
        self._kept = 0
        self._texts = False
        self._categories: Counter[str] = Counter()
        self._classes: Counter[str] = Counter()

    def add(self, array: Array) -> None:
        """Add one sample's array."""
        self._samples += 1
        self._count += array.size
        if array.dtype.kind == "f" and array.ndim and array.shape[-1] > 1:
            self._classes.update(map(str, array.argmax(axis=-1).reshape(-1).tolist()))
        if array.dtype.kind not in "fc":
            self._categories.update(map(str, array.reshape(-1).tolist()))
            self._texts |= array.dtype.kind not in "biu"
            if len(self._categories) > _MAX_DISTINCT:
                self._categories = Counter(dict(self._categories.most_common(_MAX_DISTINCT // 2)))
        if array.dtype.kind in "fiub":
            self._add_numbers(array.reshape(-1).astype(np.float64))

    def result(self) -> Distribution:
        """The distribution of all samples so far."""
        numeric = self._finite > 0
        return Distribution(
            samples=self._samples,
            count=self._count,
            nan_share=1 - self._finite / self._count if self._count and not self._only_categories() else 0.0,
            numbers=self._numbers() if numeric else None,
            # A text that came once is somebody's input, not a category: it stays out of the bundle.
            categories=_top(self._categories, at_least=2 if self._texts else 1),
            classes=_top(self._classes),
        )

    def _only_categories(self) -> bool:
        return bool(self._categories) and not self._finite

    def _add_numbers(self, values: npt.NDArray[np.float64]) -> None:
        values = values[np.isfinite(values)]
        if not values.size:
            return
        # Chan, Golub, LeVeque (1979): moments of two parts make those of the whole.
        mean, count = float(values.mean()), values.size
        total = self._finite + count
        step = mean - self._mean
        self._squares += float(((values - mean) ** 2).sum()) + step**2 * self._finite * count / total
        self._mean += step * count / total
        self._finite = total
        self._min, self._max = min(self._min, float(values.min())), max(self._max, float(values.max()))
        if self._kept < _KEPT_VALUES:
            if count > _KEPT_OF_SAMPLE:
                values = self._random.choice(values, _KEPT_OF_SAMPLE, replace=False)
            self._values.append(values)
            self._kept += values.size

    def _numbers(self) -> Numbers:
        quantiles = np.quantile(np.concatenate(self._values), PROBABILITIES)
        quantiles[0], quantiles[-1] = self._min, self._max
        return Numbers(
            mean=self._mean,
            std=float(np.sqrt(self._squares / self._finite)),
            min=self._min,
            max=self._max,
            quantiles=quantiles.tolist(),
        )


def _top(counts: Counter[str], at_least: int = 1) -> Categories | None:
    if not counts:
        return None
    total = counts.total()
    ranked = sorted(
        (item for item in counts.items() if item[1] >= at_least), key=lambda item: (-item[1], item[0])
    )[:_TOP]
    return Categories(shares={name: count / total for name, count in ranked}, distinct=len(counts))


def encode(baseline: Baseline) -> bytes:
    """``baseline.json``; equal baselines give equal bytes."""
    return msgspec.json.format(msgspec.json.encode(baseline, order="sorted"), indent=2) + b"\n"


def decode(data: bytes) -> Baseline:
    """Read ``baseline.json``.

    Raises:
        msgspec.ValidationError: it is not one, or is of another schema version.
    """
    baseline = msgspec.json.decode(data, type=Baseline)
    if baseline.schema_version != SCHEMA_VERSION:
        raise msgspec.ValidationError(
            f"baseline.json has schema version {baseline.schema_version}, "
            f"but this release reads {SCHEMA_VERSION}."
        )
    return baseline
