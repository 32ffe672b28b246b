"""What of the baseline can be watched where not all of a request is kept (docs/capture.md).

What is redacted comes as missing, and would be a drift at once; a side that is not kept does not come at all.
"""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec
import numpy as np

from handlers.monitor.pressed import NotWatchable
from monitoring.baseline import Baseline
from monitoring.features import Feature
from monitoring.scoring import detectors_of, scores_of
from monitoring.space import Learned


class Scope(NamedTuple):
    """The ``sides`` of requests that are kept, and the ``redacted`` fields: tensors, or ``NAME[3]``."""

    sides: tuple[str, ...] = ("inputs", "outputs")
    redacted: tuple[str, ...] = ()


def narrowed(baseline: Baseline, scope: Scope) -> Baseline:
    """The baseline of what is kept: sides that are not are left out, and what is redacted counts nothing.

    Raises:
        NotWatchable: nothing is left.
    """
    tensors = {tensor.name: tensor for tensor in baseline.tensors}
    redacted = {field: _tensor_of(field, set(tensors)) for field in scope.redacted}
    touched = {tensors[name].side for name in redacted.values() if name in tensors}
    kept, shares = [], np.array(baseline.shares, np.float64)
    for index, feature in enumerate(baseline.features):
        if feature.side in scope.sides:
            kept.append(index)
        if any(_tells(feature, field, name) for field, name in redacted.items()):
            shares[index] = 0
    start = len(baseline.features)
    for side, count in _scores_of(baseline.spaces):
        if side in scope.sides:
            kept += range(start, start + count)
        if side in touched:
            shares[start : start + count] = 0
        start += count
    if not shares[kept].sum():
        raise NotWatchable("nothing that could be watched is kept of its requests: keep or redact less.")
    count = sum(index < len(baseline.features) for index in kept)
    is_told = "outputs" in scope.sides and "outputs" not in touched
    return msgspec.structs.replace(
        baseline,
        tensors=tuple(tensor for tensor in baseline.tensors if tensor.side in scope.sides),
        features=tuple(baseline.features[index] for index in kept[:count]),
        numbers=tuple(baseline.numbers[index] for index in kept[:count]),
        names=tuple(baseline.names[index] for index in kept),
        shares=shares[kept].astype(np.float32),
        edges=baseline.edges[kept],
        weights=baseline.weights[kept],
        counts=baseline.counts[kept],
        spaces={side: learned for side, learned in baseline.spaces.items() if side in scope.sides},
        seasonal=None if baseline.seasonal is None else baseline.seasonal[:, kept],
        repeated=baseline.repeated if "inputs" in scope.sides else 1.0,
        reliability=baseline.reliability if is_told else None,
        deviation=baseline.deviation if is_told else msgspec.UNSET,
    )


def _tensor_of(field: str, tensors: set[str]) -> str:
    return field if field in tensors else field.rpartition("[")[0]


def _tells(feature: Feature, field: str, tensor: str) -> bool:
    """Whether a feature tells of a redacted field: it is it, of its whole tensor, or made of it."""
    if feature.name == field or (feature.name == tensor and feature.raw):
        return True
    is_of = feature.name.startswith((f"{tensor}[", f"{tensor}: "))
    return is_of and (field == tensor or not feature.raw)


def _scores_of(spaces: dict[str, Learned]) -> Iterator[tuple[str, int]]:
    """By side, how many scores its space has, in their order (monitoring/scoring.py)."""
    for side, learned in spaces.items():
        yield side, sum(scores_of(learned, detector) for detector in detectors_of(learned))
