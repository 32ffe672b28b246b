"""One line of CloudWatch's embedded metric format for every request; no payload, and no id as a dimension.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

import sys
import time

import msgspec

from handlers.inference.dataplane import Model

NAMESPACE = "coldpress"
_UNITS = {
    "Latency": "Milliseconds",
    "Requests": "Count",
    "Errors": "Count",
    "ClientErrors": "Count",
    "ColdStarts": "Count",
}
_DIRECTIVE = {
    "Namespace": NAMESPACE,
    "Dimensions": [["Model", "Version"]],
    "Metrics": [{"Name": name, "Unit": unit} for name, unit in _UNITS.items()],
}


def emit(model: Model, *, status: int, latency_ms: float, is_cold: bool, request_id: str) -> None:
    """Write the line; ``Errors`` counts 5xx, ``ClientErrors`` 4xx."""
    line = {
        "_aws": {"Timestamp": time.time_ns() // 1_000_000, "CloudWatchMetrics": [_DIRECTIVE]},
        "Model": model.name,
        "Version": model.version,
        "Latency": round(latency_ms, 3),
        "Requests": 1,
        "Errors": int(status >= 500),
        "ClientErrors": int(400 <= status < 500),
        "ColdStarts": int(is_cold),
        "Status": status,
        "RequestId": request_id,
    }
    sys.stdout.write(msgspec.json.encode(line).decode() + "\n")
    sys.stdout.flush()
