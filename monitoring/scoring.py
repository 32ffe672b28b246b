"""All scores of a batch of requests, in the order of the baseline's names."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from monitoring.features import Features
from monitoring.scores import COLUMN, DETECTORS, Name
from monitoring.space import Learned, enter

Array = npt.NDArray[Any]

# How much each detector's scores count beside a column's, which there are many of.
_WEIGHTS = {
    COLUMN: 1.0,
    "given the others": 1.0,
    "component": 2.0,
    "reconstruction": 6.0,
    "nearest reference": 6.0,
}
_DERIVED = 2.0
_MOST_COMPONENTS = 8  # of a space that are scores (scores/component.py)


def detectors_of(learned: Learned) -> list[str]:
    """Those that look at a side with this space."""
    absent = "given the others" if learned.precision is None else ""
    return [name for name in DETECTORS if name != absent]


def scores_of(learned: Learned, detector: str) -> int:
    """How many scores a detector has in a space."""
    if detector == "given the others":
        return 0 if learned.precision is None else len(learned.precision)
    return min(learned.components.shape[1], _MOST_COMPONENTS) if detector == "component" else 1


def score_names(
    features: Sequence[tuple[str, bool]], spaces: Mapping[str, Learned], titles: Mapping[str, Sequence[str]]
) -> tuple[list[Name], Array]:
    """Names and shares: of the features (name, raw), then of each side's space.

    ``titles`` are the columns' names by side, where a side is one table.
    """
    names = [Name(detector=COLUMN, feature=name) for name, _ in features]
    shares = [_WEIGHTS[COLUMN] if raw else _DERIVED for _, raw in features]
    for side, learned in spaces.items():
        for detector in detectors_of(learned):
            of = _titles(side, detector, learned, titles)
            names += [Name(detector=detector, feature=title) for title in of]
            shares += [_WEIGHTS[detector]] * len(of)
    return names, np.array(shares) / sum(shares)


def score(features: Features, watched: int, spaces: Mapping[str, Learned]) -> Array:
    """float64 [requests, scores]; the first ``watched`` features are scores themselves."""
    parts = [features.columns[:, :watched]]
    for side, learned in spaces.items():
        if side not in features.spaces:
            width = sum(scores_of(learned, name) for name in detectors_of(learned))
            parts.append(np.full((len(features.columns), width), np.nan))
            continue
        space = enter(learned, features.spaces[side])
        parts += [DETECTORS[name](space) for name in detectors_of(learned)]
    return np.concatenate(parts, axis=1)


def known_scores(features: Features, watched: int, spaces: Mapping[str, Learned]) -> Array:
    """Bool [scores]: which ones the requests have the tensors for."""
    known = features.known[:watched].tolist()
    for side, learned in spaces.items():
        known += [side in features.spaces] * sum(scores_of(learned, name) for name in detectors_of(learned))
    return np.array(known, bool)


def _titles(side: str, detector: str, learned: Learned, titles: Mapping[str, Sequence[str]]) -> list[str]:
    if detector == "given the others":
        return list(titles[side])
    if detector == "component":
        return [f"{side}, component {index + 1}" for index in range(scores_of(learned, detector))]
    return [side]
