"""How good a model's answers are: metrics by name, and the user's own."""

import re

from optimizer.data import import_function
from optimizer.errors import InputError
from optimizer.metrics import classification, masks, numbers, retrieval, sequences
from optimizer.metrics.base import Metric
from optimizer.metrics.function import FunctionMetric

REGISTRY = {
    metric.name: metric
    for metric in (
        *classification.METRICS,
        *masks.METRICS,
        *numbers.METRICS,
        *retrieval.METRICS,
        *sequences.METRICS,
    )
}


def find_metric(name: str) -> Metric:
    """A metric by its name, or the user's function.

    Raises:
        InputError: there is no such metric.
    """
    if ":" in name:
        return FunctionMetric(name, import_function(name, "--metric"))
    if match := re.fullmatch("top([1-9][0-9]?)", name):
        return classification.top(int(match[1]))
    if name not in REGISTRY:
        raise InputError(
            f"there is no metric '{name}': use one of {', '.join(sorted(REGISTRY))}, "
            "top1 to top99, or module:function(outputs, labels)."
        )
    return REGISTRY[name]


__all__ = ["REGISTRY", "FunctionMetric", "Metric", "find_metric"]
