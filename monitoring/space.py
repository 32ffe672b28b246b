"""One side's standardised features, and what is learned of them: directions and references.

Columns of a table become normal scores (van der Waerden, 1952) by their quantiles, so that columns that go
together go together on a line; the values of a field are centred and scaled. Both are cut off, so that one
wild value cannot hide the others. What is learned is learned of other samples than those the scores are
ranked among: else the calibration data would lie nearer to itself than any request can.
"""

from statistics import NormalDist
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from monitoring.features import COLUMNS
from monitoring.scores.base import Space, project

_KNOTS = 33
_CUT = 8.0
_COMPONENTS = 24
_VARIANCE = 0.9
_REFERENCES = 256
_RIDGE = 0.002

Array = npt.NDArray[Any]


class Learned(msgspec.Struct, frozen=True, kw_only=True):
    """What ``learn`` found.

    ``knots``: of a table, [columns, knots, 2] values and normal scores; of a field, [features, 1, 2] centres
    and scales. ``components``: [features, components]; ``references``: [references, components];
    ``precision``: of a table, [columns, columns].
    """

    knots: Array
    components: Array
    references: Array
    precision: Array | None = None


def learn(values: Array, *, table: bool, seed: int) -> Learned:
    """Of ``values``, float64 [samples, features]."""
    table = table and values.shape[1] <= COLUMNS
    knots = np.array([_quantiles(column) if table else _scale(column) for column in values.T], np.float32)
    z = _standardised(knots, values)
    covariance = np.cov(z, rowvar=False).reshape(z.shape[1], -1)
    strengths, directions = np.linalg.eigh(covariance)
    strengths, directions = np.maximum(strengths[::-1], 0), directions[:, ::-1]
    explained = np.cumsum(strengths) / max(strengths.sum(), 1e-12)
    count = int(np.clip(np.searchsorted(explained, _VARIANCE) + 1, 1, min(_COMPONENTS, len(values) // 5)))
    # A direction's sign is nobody's choice: the largest part is positive.
    components = directions[:, :count]
    components = components * np.sign(components[np.abs(components).argmax(axis=0), np.arange(count)])
    kept = np.random.default_rng(seed).permutation(len(z))[:_REFERENCES]
    precision = None
    if table and len(values) >= 3 * z.shape[1]:
        precision = np.linalg.inv(covariance + _RIDGE * np.eye(len(covariance))).astype(np.float32)
    return Learned(
        knots=knots,
        components=components.astype(np.float32),
        references=project(z[kept], components).astype(np.float32),
        precision=precision,
    )


def enter(learned: Learned, values: Array) -> Space:
    """Where requests lie; ``values`` as for ``learn``."""
    z = _standardised(learned.knots, values)
    components = learned.components.astype(np.float64)
    precision = None if learned.precision is None else learned.precision.astype(np.float64)
    return Space(z, project(z, components), components, learned.references.astype(np.float64), precision)


def _standardised(knots: Array, values: Array) -> Array:
    if knots.shape[1] == 1:
        z = (values - knots[:, 0, 0]) / knots[:, 0, 1]
    else:
        z = np.empty(values.shape)
        for index, (column, table) in enumerate(zip(values.T, knots, strict=True)):
            z[:, index] = np.interp(column, table[:, 0], table[:, 1])
    return np.clip(np.nan_to_num(z, nan=0.0, posinf=_CUT, neginf=-_CUT), -_CUT, _CUT)


def _scale(column: Array) -> list[tuple[float, float]]:
    finite = column[np.isfinite(column)]
    if not len(finite):
        return [(0.0, 1.0)]
    low, middle, high = np.quantile(finite, [0.25, 0.5, 0.75])
    return [(float(middle), float((high - low) / 1.349) or float(finite.std()) or 1.0)]


def _quantiles(column: Array) -> list[tuple[float, float]]:
    """Values and normal scores; equal values have one score, and beyond the ends it goes on in a line."""
    finite = column[np.isfinite(column)]
    if not len(finite):
        return [(float(index), 0.0) for index in range(_KNOTS + 2)]
    shares = np.clip(np.linspace(0, 1, _KNOTS), 0.5 / len(finite), 1 - 0.5 / len(finite))
    normal = np.array([NormalDist().inv_cdf(share) for share in shares])
    values = np.quantile(finite, np.linspace(0, 1, _KNOTS))
    distinct, where = np.unique(values, return_inverse=True)
    scores = np.bincount(where, normal) / np.bincount(where)
    (_, spread), *_ = _scale(column)
    ends = (_CUT - scores[-1]) * spread, (_CUT + scores[0]) * spread
    distinct = np.concatenate([[distinct[0] - ends[1]], distinct, [distinct[-1] + ends[0]]])
    scores = np.concatenate([[-_CUT], scores, [_CUT]])
    missing = _KNOTS + 2 - len(distinct)
    distinct = np.append(distinct, distinct[-1] + spread * np.arange(1, missing + 1))
    return list(zip(distinct.tolist(), np.append(scores, np.full(missing, _CUT)).tolist(), strict=True))
