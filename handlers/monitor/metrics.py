"""The line by which CloudWatch counts: numbers, a model's name and version, nothing of what was captured."""

import json
import time
from typing import Any

from handlers.inference.metrics import NAMESPACE
from handlers.monitor.status import Status

_COUNTS = {
    "read": "Captures",
    "labels": "Labels",
    "replayed": "Replayed",
}
_UNREADABLE = ("damaged", "other schema", "misfit", "cut")


def line_of(status: Status, counts: dict[str, float]) -> str:
    """In CloudWatch's embedded metric format; ``counts`` are of this run.

    A metric costs money in every month in which it has a value: those without one are left out, but for the
    evidence and the alarms, which must say that all is well.
    """
    values: dict[str, float] = {
        "DriftEvidence": min(status.drift, 1e6),
        "DriftAlarm": float("drift" in status.alarms),
        "Silent": float("silent" in status.alarms),
        "Captures": counts.get("read", 0.0),
    }
    if status.quality.count:
        values["QualityAlarm"] = float(status.quality.alarm)
    if status.agreement.count:
        values["AgreementAlarm"] = float(status.agreement.alarm)
    for count, of, metric in (("labels", "right", "Accuracy"), ("replayed", "agreed", "Agreement")):
        if counts.get(count):
            values[metric] = counts.get(of, 0.0) / counts[count]
    values.update({metric: counts[name] for name, metric in _COUNTS.items() if counts.get(name)})
    unreadable = sum(counts.get(name, 0.0) for name in _UNREADABLE)
    if unreadable:
        values["CapturesUnreadable"] = unreadable
    return _line(status.model, status.version, values)


def failure_line(model: str, version: str, why: str) -> str:
    """Of a run that could not look: who hears nothing must know it."""
    return _line(model, version, {"Silent": 1.0}, Problem=why)


def _line(model: str, version: str, values: dict[str, float], **beside: str) -> str:
    directive = {
        "Namespace": NAMESPACE,
        "Dimensions": [["Model", "Version"]],
        "Metrics": [{"Name": name, "Unit": _unit(name)} for name in values],
    }
    line: dict[str, Any] = {
        "_aws": {"Timestamp": time.time_ns() // 1_000_000, "CloudWatchMetrics": [directive]},
        "Model": model,
        "Version": version,
        **values,
        **beside,
    }
    return json.dumps(line)


def _unit(name: str) -> str:
    return "Count" if name in ("Captures", "CapturesUnreadable", "Labels", "Replayed") else "None"
