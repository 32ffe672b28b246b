"""The line of a run: figures, a model's name and version, nothing of what was captured.

CloudWatch bills a metric for every hour in which it gets a value. So only an alarm that stands is a metric;
the figures are fields of the line, which the dashboard reads from the log.
"""

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
# Of the alarms that are metrics; who is silent lets the run fail, which Lambda counts for nothing.
_METRICS = {"drift": "DriftAlarm", "quality": "QualityAlarm", "agreement": "AgreementAlarm"}


def line_of(status: Status, counts: dict[str, float]) -> str:
    """In CloudWatch's embedded metric format where an alarm stands; ``counts`` are of this run."""
    line: dict[str, Any] = {
        "Model": status.model,
        "Version": status.version,
        "DriftEvidence": round(min(status.drift, 1e6), 4),
        "Captures": counts.get("read", 0.0),
    }
    for count, of, figure in (("labels", "right", "Accuracy"), ("replayed", "agreed", "Agreement")):
        if counts.get(count):
            line[figure] = counts.get(of, 0.0) / counts[count]
    line.update({figure: counts[name] for name, figure in _COUNTS.items() if counts.get(name)})
    unreadable = sum(counts.get(name, 0.0) for name in _UNREADABLE)
    if unreadable:
        line["CapturesUnreadable"] = unreadable
    raised = [metric for name, metric in _METRICS.items() if name in status.alarms]
    return json.dumps({**_embedded(raised), **line, **dict.fromkeys(raised, 1.0)})


def problem_line(model: str, version: str, why: str) -> str:
    """Of a run that could not look, or has nobody to look at."""
    return json.dumps({"Model": model, "Version": version, "Problem": why})


def _embedded(metrics: list[str]) -> dict[str, Any]:
    """What makes the line one of metrics."""
    if not metrics:
        return {}
    directive = {
        "Namespace": NAMESPACE,
        "Dimensions": [["Model", "Version"]],
        "Metrics": [{"Name": name, "Unit": "None"} for name in metrics],
    }
    return {"_aws": {"Timestamp": time.time_ns() // 1_000_000, "CloudWatchMetrics": [directive]}}
