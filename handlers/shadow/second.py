"""The second version: a request that had its answer, answered again, and a line of metrics about both."""

import time
from typing import Any

from handlers import direct
from handlers.inference.events import answer_event, head_of
from handlers.inference.metrics import NAMESPACE
from handlers.inference.service import Service
from handlers.shadow.compare import Comparison, NotComparable, compare

_UNITS = {
    "ShadowRequests": "Count",
    "ShadowErrors": "Count",
    "ShadowAgreement": "None",
    "ShadowDifference": "None",
    "Latency": "Milliseconds",
}
_OK = 200


class SecondVersion:
    """The second version.

    Args:
        service: what it is, behind the protocols.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._version = service.model.version

    def answer(self, message: dict[str, Any]) -> dict[str, Any]:
        """Answer the request again, and compare: the line of metrics.

        Args:
            message: ``event`` and ``reply`` of the request, and ``shadow``: the ``version`` that answered it
                and its ``request_id``.
        """
        about, event = message["shadow"], message["event"]
        # A path may name the version that was asked, and this one stands in its place.
        self._service.model.version = about["version"]
        began = time.perf_counter()
        reply = answer_event(self._service, event).as_dict()
        latency_ms = (time.perf_counter() - began) * 1e3
        values: dict[str, float] = {"ShadowRequests": 1, "ShadowErrors": 0, "Latency": round(latency_ms, 3)}
        seen = {"Live": about["version"], "RequestId": about["request_id"]}
        try:
            comparison = self._compare(event, message["reply"], reply)
        except NotComparable as problem:
            values["ShadowErrors"] = 1
            seen["Problem"] = str(problem)
        else:
            values["ShadowAgreement"] = comparison.agreement
            if comparison.difference is not None:
                values["ShadowDifference"] = comparison.difference
        return self._line(values, seen)

    def _compare(self, event: object, live: dict[str, Any], own: dict[str, Any]) -> Comparison:
        answer = direct.read_answer(own)
        if answer.status != _OK:
            raise NotComparable(f"it answers with status {answer.status}")
        return compare(self._service.model, head_of(event), direct.read_answer(live), answer)

    def _line(self, values: dict[str, float], seen: dict[str, str]) -> dict[str, Any]:
        """The values in CloudWatch's embedded metric format, and what was seen beside them."""
        directive = {
            "Namespace": NAMESPACE,
            "Dimensions": [["Model", "Version"]],
            "Metrics": [{"Name": name, "Unit": unit} for name, unit in _UNITS.items() if name in values],
        }
        return {
            "_aws": {"Timestamp": time.time_ns() // 1_000_000, "CloudWatchMetrics": [directive]},
            "Model": self._service.model.name,
            "Version": self._version,
            **values,
            **seen,
        }
