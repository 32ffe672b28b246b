"""CloudWatch's metrics, kept in moto: recorded, read from functions' output (EMF), summed up by period."""

import json
import math
import threading
from collections import defaultdict
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from moto.cloudwatch import models
from moto.cloudwatch.models import (
    CloudWatchBackend,
    MetricDatum,
    MetricDatumBase,
    Statistics,
    cloudwatch_backends,
)

from emulator import settings
from emulator.clock import CLOCK

Dimensions = dict[str, str]
_get_metric_data_of_moto = CloudWatchBackend.get_metric_data


def record(region: str, namespace: str, name: str, value: float, *dimension_sets: Dimensions) -> None:
    """Keep one value, now, under each of the sets of dimensions."""
    now = CLOCK.utc()
    cloudwatch_backends[settings.ACCOUNT][region].metric_data.extend(
        MetricDatum(namespace, name, value, [{"Name": k, "Value": v} for k, v in dimensions.items()], now)
        for dimensions in dimension_sets
    )


def record_embedded(region: str, line: str) -> None:
    """Keep what a line of a function's output says in CloudWatch's embedded metric format, if it is one."""
    if not line.startswith("{") or '"_aws"' not in line:
        return
    try:
        document = json.loads(line)
        found = [
            (directive["Namespace"], metric["Name"], document[metric["Name"]], directive["Dimensions"])
            for directive in document["_aws"]["CloudWatchMetrics"]
            for metric in directive["Metrics"]
        ]
        for namespace, name, values, keys in found:
            sets = [{key: str(document[key]) for key in dimensions} for dimensions in keys]
            for value in values if isinstance(values, list) else [values]:
                record(region, namespace, name, float(value), *sets)
    except (ValueError, KeyError, TypeError):
        return  # CloudWatch drops what is malformed, without a word


def datapoints(  # noqa: PLR0913 - what a metric is
    region: str,
    *,
    namespace: str,
    name: str,
    dimensions: Dimensions,
    statistic: str,
    period: float,
    start: float,
    end: float,
) -> dict[float, float]:
    """A metric's statistic by the beginning of each period from ``start`` to ``end`` that has data."""
    values: dict[float, list[MetricDatumBase]] = defaultdict(list)
    for datum in _series(region).find(namespace, name, dimensions):
        moment = _seconds(datum.timestamp)
        if start <= moment < end:
            values[start + (moment - start) // period * period].append(datum)
    return {begin: summarise(values[begin], statistic) for begin in sorted(values)}


class _Series:
    """A region's values by metric: moto keeps them in one list, which is slow to search every minute."""

    def __init__(self, region: str) -> None:
        self._all = cloudwatch_backends[settings.ACCOUNT][region].metric_data
        self._by_metric: dict[Any, list[MetricDatumBase]] = defaultdict(list)
        self._sorted = 0
        self._lock = threading.Lock()

    def find(self, namespace: str, name: str, dimensions: Dimensions) -> list[MetricDatumBase]:
        """The values of one metric."""
        with self._lock:
            self._sort()
            return list(self._by_metric.get((namespace, name, frozenset(dimensions.items())), []))

    def one_of_each(self) -> list[MetricDatumBase]:
        """A value of every metric."""
        with self._lock:
            self._sort()
            return [values[0] for values in self._by_metric.values()]

    def _sort(self) -> None:
        new = self._all[self._sorted :]
        for datum in new:
            labels = frozenset((str(label.name), str(label.value)) for label in datum.dimensions)
            self._by_metric[datum.namespace, datum.name, labels].append(datum)
        self._sorted += len(new)


_series = lru_cache(_Series)


def summarise(data: list[MetricDatumBase], statistic: str) -> float:
    """``Sum``, ``Average``, ``Minimum``, ``Maximum``, ``SampleCount``, or a percentile such as ``p99``."""
    if not statistic.startswith("p"):
        statistics = Statistics([statistic], CLOCK.utc())
        statistics.metric_data = data
        return float(statistics.get_statistics_for_type(statistic) or 0.0)
    values = sorted(datum.value for datum in data if isinstance(datum, MetricDatum))
    position = float(statistic[1:]) / 100 * (len(values) - 1)
    below, above = math.floor(position), math.ceil(position)
    return values[below] + (values[above] - values[below]) * (position - below)


def _seconds(moment: datetime) -> float:
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _get_metric_data(
    self: CloudWatchBackend,
    queries: list[dict[str, Any]],
    start_time: datetime,
    end_time: datetime,
    scan_by: str = "TimestampAscending",
) -> list[dict[str, Any]]:
    """GetMetricData: moto's knows no percentiles, and mixes namespaces."""
    if any("MetricStat" not in query for query in queries):
        return _get_metric_data_of_moto(self, queries, start_time, end_time, scan_by)
    results = []
    for query in queries:
        stat = query["MetricStat"]
        period = float(stat["Period"])
        found = datapoints(
            self.region_name,
            namespace=stat["Metric"]["Namespace"],
            name=stat["Metric"]["MetricName"],
            dimensions={d["Name"]: d["Value"] for d in stat["Metric"].get("Dimensions", [])},
            statistic=stat["Stat"],
            period=period,
            start=_seconds(start_time) // period * period,
            end=_as_seen_by_clients(_seconds(end_time)),
        )
        moments = sorted(found, reverse=scan_by == "TimestampDescending")
        results.append(
            {
                "id": query["Id"],
                "label": query.get("Label") or stat["Metric"]["MetricName"],
                "timestamps": [
                    datetime.fromtimestamp(moment, UTC).replace(tzinfo=None) for moment in moments
                ],
                "values": [found[moment] for moment in moments],
                "status_code": "Complete",
            }
        )
    return results


def _get_filtered_metrics(
    self: CloudWatchBackend, metric_name: str, namespace: str, dimensions: list[dict[str, str]]
) -> list[MetricDatumBase]:
    """Of ListMetrics: moto holds every value against every metric, minutes long after many requests."""
    return [
        datum
        for datum in [*_series(self.region_name).one_of_each(), *self.aws_metric_data]
        if datum.filter(namespace, metric_name, dimensions)
    ]


def _as_seen_by_clients(end: float) -> float:
    """A client's clock does not know of emulated time: who asks until now means the emulator's now."""
    return max(end, CLOCK.now()) if end >= datetime.now(UTC).timestamp() - 60 else end


def install() -> None:
    """Let moto answer GetMetricData and ListMetrics from here, and live in emulated time."""
    module: Any = models
    module.utcnow = CLOCK.utc
    patched: Any = CloudWatchBackend
    patched.get_metric_data = _get_metric_data
    patched.get_filtered_metrics = _get_filtered_metrics
