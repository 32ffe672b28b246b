"""The baseline as SageMaker Model Monitor has it: ``statistics.json`` and ``constraints.json``.

By the schemas that AWS documents under "Schema for Statistics" and "Schema for Constraints" of the SageMaker
developer guide: ten buckets for a number, a count for a category. The sketch of raw values beside the buckets
is left out, as they stay where the calibration data is; so are features that are derived.
"""

import json
from typing import Any

import numpy as np
import numpy.typing as npt

from monitoring.baseline import PROBABILITIES, Baseline, Numbers
from monitoring.features import Feature

_BUCKETS = 10

Array = npt.NDArray[Any]


def statistics_json(baseline: Baseline) -> bytes:
    """``statistics.json``."""
    found = [
        _string(baseline, index) if feature.categories is not None else _number(feature, numbers)
        for index, feature, numbers in _raw(baseline)
    ]
    content = {"version": 0, "dataset": {"item_count": baseline.samples}, "features": found}
    return json.dumps(content, indent=2).encode() + b"\n"


def constraints_json(baseline: Baseline) -> bytes:
    """``constraints.json``, with the thresholds that SageMaker's own baselining job writes."""
    found = []
    for _, feature, numbers in _raw(baseline):
        one: dict[str, Any] = {
            "name": feature.name,
            "inferred_type": "Fractional" if feature.categories is None else "String",
            "completeness": numbers.present / max(numbers.present + numbers.missing, 1),
        }
        if feature.categories is None:
            one["num_constraints"] = {"is_non_negative": numbers.min >= 0}
        else:
            one["string_constraints"] = {"domains": list(feature.categories)}
        found.append(one)
    content = {
        "version": 0,
        "features": found,
        "monitoring_config": {
            "evaluate_constraints": "Enabled",
            "emit_metrics": "Enabled",
            "datatype_check_threshold": 1.0,
            "domain_content_threshold": 1.0,
            "distribution_constraints": {
                "perform_comparison": "Enabled",
                "comparison_threshold": 0.1,
                "comparison_method": "Robust",
            },
        },
    }
    return json.dumps(content, indent=2).encode() + b"\n"


def _raw(baseline: Baseline) -> list[tuple[int, Feature, Numbers]]:
    pairs = zip(baseline.features, baseline.numbers, strict=True)
    return [(index, feature, numbers) for index, (feature, numbers) in enumerate(pairs) if feature.raw]


def _common(numbers: Numbers) -> dict[str, int]:
    return {"num_present": numbers.present, "num_missing": numbers.missing}


def _number(feature: Feature, numbers: Numbers) -> dict[str, Any]:
    edges = np.linspace(numbers.min, numbers.max, _BUCKETS + 1)
    below = _below(numbers, edges)
    counts = np.round(below * numbers.present).astype(int)
    buckets = [
        {"lower_bound": low, "upper_bound": high, "count": count}
        for low, high, count in zip(
            edges[:-1].tolist(), edges[1:].tolist(), np.diff(counts).tolist(), strict=True
        )
    ]
    return {
        "name": feature.name,
        "inferred_type": "Fractional",
        "numerical_statistics": {
            "common": _common(numbers),
            "mean": numbers.mean,
            "sum": numbers.mean * numbers.present,
            "std_dev": numbers.std,
            "min": numbers.min,
            "max": numbers.max,
            "distribution": {"kll": {"buckets": buckets}},
        },
    }


def _below(numbers: Numbers, edges: Array) -> Array:
    """The share of the values below each edge, between the quantiles in a line."""
    if not numbers.quantiles:
        return np.zeros(len(edges))
    values, where = np.unique(numbers.quantiles, return_index=True)
    # Of equal quantiles the last says how much lies at or below.
    last = np.append(where[1:] - 1, len(PROBABILITIES) - 1)
    found = np.interp(edges, values, np.array(PROBABILITIES)[last])
    found[0], found[-1] = 0.0, 1.0
    return np.asarray(found)


def _string(baseline: Baseline, index: int) -> dict[str, Any]:
    feature, numbers = baseline.features[index], baseline.numbers[index]
    assert feature.categories is not None  # noqa: S101 - asked only where there are some
    edges = baseline.edges[index]
    buckets = []
    for code, value in enumerate(feature.categories):
        place = int(np.searchsorted(edges, np.float32(code), side="right"))
        buckets.append({"value": value, "count": int(baseline.weights[index, place])})
    return {
        "name": feature.name,
        "inferred_type": "String",
        "string_statistics": {
            "common": _common(numbers),
            "distinct_count": len(feature.categories),
            "distribution": {"categorical": {"buckets": buckets}},
        },
    }
