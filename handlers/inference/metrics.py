"""One line of CloudWatch's embedded metric format for every request; no payload, and no id as a dimension.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

import sys
import time
from _json import encode_basestring_ascii as quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from handlers.inference.dataplane import Model

NAMESPACE = "coldpress"
_UNITS = {
    "Latency": "Milliseconds",
    "Requests": "Count",
    "Errors": "Count",
    "ClientErrors": "Count",
    "ColdStarts": "Count",
}
_METRICS = ",".join(f'{{"Name":"{name}","Unit":"{unit}"}}' for name, unit in _UNITS.items())
_DIRECTIVE = f'{{"Namespace":"{NAMESPACE}","Dimensions":[["Model","Version"]],"Metrics":[{_METRICS}]}}'


def emit(model: "Model", *, status: int, latency_ms: float, is_cold: bool, request_id: str) -> None:
    """Write the line; ``Errors`` counts 5xx, ``ClientErrors`` 4xx."""
    sys.stdout.write(
        f'{{"_aws":{{"Timestamp":{time.time_ns() // 1_000_000},"CloudWatchMetrics":[{_DIRECTIVE}]}},'
        f'"Model":{quoted(model.name)},"Version":{quoted(model.version)},'
        f'"Latency":{latency_ms:.3f},"Requests":1,"Errors":{status >= 500:d},'
        f'"ClientErrors":{400 <= status < 500:d},"ColdStarts":{is_cold:d},'
        f'"Status":{status},"RequestId":{quoted(request_id)}}}\n'
    )
    sys.stdout.flush()
