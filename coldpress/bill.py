"""What a month of an endpoint costs: one small function for each part of the bill, and the ways to run it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from coldpress.prices import Prices
from monitoring.cost import Rates, Watching, monthly_usd

HOURS = 24
# AWS's own calculator has 730 hours in a month.
MONTH_HOURS = 730
_MONTH_SECONDS = MONTH_HOURS * 3600
_HOUR_SECONDS = _MONTH_SECONDS / HOURS  # that one hour of the day has in a month
_GB = 1e9
_HTTP_UNIT_BYTES = 512 * 1024
_RANGE_BYTES = 8 * 1024**2  # of the ranged GETs by which a bundle is fetched
# Bytes of log a request: START, END and REPORT of the platform, the handler's line of metrics, the access
# log's line, and 26 bytes that CloudWatch adds to each of the five.
_LOG_BYTES = 330 + 490 + 480 + 5 * 26
# What a stage without provisioned concurrency has.
ALARMS, METRICS, DASHBOARDS = 7, 5, 1
SHADOW_METRICS = 7
# Of a captured request: what its record has around the tensors, which are taken to be as large as request
# and answer; which share of it is left by gzip, and how long that takes (measured with a photo of bytes;
# of floats half of it is left); the steps that Firehose bills; how long its sending is taken to last. An
# object is put so often.
_RECORD_BYTES, _GZIPPED_SHARE, _GZIP_S_PER_BYTE = 350, 0.6, 2e-8
_RECORD_STEP_BYTES, _SENDING_MS, _OBJECT_SECONDS = 5 * 1024, 10, 300
_INSTANCE_VCPUS, _INSTANCE_USE = 2, 0.7
_IMAGE_GB = 0.25
SAGEMAKER_MAX_GB = 6
_MOST_RPS = 1e5
_MB_PER_VCPU = 1769

Bill = dict[str, float]


@dataclass(frozen=True)
class Workload:
    """What is asked, and what one request takes. ``rates`` are requests per second by hour of the day."""

    rates: Sequence[float]
    request_bytes: float
    response_bytes: float
    duration_ms: float
    init_ms: float
    memory_mb: int
    architecture: str
    model_bytes: float = 0.0
    cold_share: float = 0.01
    alarms: int = ALARMS
    api: Literal["http", "rest"] = "http"
    shadow: float = 0.0  # the share of the requests that a second version answers as well
    capture: float = 0.0  # the share of the requests that is kept for the monitors
    monitor_minutes: int = 0  # how often a monitor looks at them; 0: none does

    @property
    def requests(self) -> float:
        """Of a month."""
        return sum(self.rates) * _HOUR_SECONDS

    @property
    def billed_s(self) -> float:
        """Lambda bills whole milliseconds."""
        return math.ceil(self.duration_ms) / 1e3

    @property
    def memory_gb(self) -> float:
        """As Lambda counts them."""
        return self.memory_mb / 1024


def on_demand(work: Workload, prices: Prices) -> Bill:
    """Environments start when they are needed; a share of the requests waits for, and pays, an init."""
    cold = work.requests * work.cold_share
    seconds = work.requests * work.billed_s + cold * math.ceil(work.init_ms) / 1e3
    return {
        "Lambda requests": prices.lambda_request.of(work.requests),
        "Lambda duration": prices.duration(work.architecture).of(seconds * work.memory_gb),
        **_around(work, prices, starts=cold),
    }


def provisioned(work: Workload, prices: Prices, environments: Sequence[int]) -> Bill:
    """So many environments are kept initialised in each hour; what finds all of them busy is on demand."""
    warm_s, cold_s, cold = 0.0, 0.0, 0.0
    for rate, kept in zip(work.rates, environments, strict=True):
        requests = rate * _HOUR_SECONDS
        spilled = requests * busy_share(rate * work.billed_s, kept)
        warm_s += (requests - spilled) * work.billed_s
        cold_s += spilled * (work.billed_s + work.cold_share * math.ceil(work.init_ms) / 1e3)
        cold += spilled * work.cold_share
    kept_s = sum(environments) * _HOUR_SECONDS
    return {
        "Lambda requests": prices.lambda_request.of(work.requests),
        "Lambda duration": prices.provisioned_duration(work.architecture).of(warm_s * work.memory_gb)
        + prices.duration(work.architecture).of(cold_s * work.memory_gb),
        "provisioned": prices.provisioned(work.architecture).of(kept_s * work.memory_gb),
        **_around(work, prices, starts=cold),
    }


def environments_for(work: Workload, spill: float) -> list[int]:
    """For each hour the fewest environments, at least one, beyond which at most ``spill`` of it goes."""
    return [_fewest(rate * work.billed_s, spill) for rate in work.rates]


def sagemaker_serverless(work: Workload, prices: Prices) -> Bill:
    """SageMaker Serverless Inference: whole GB of memory, 6 at most, the same duration and cold starts."""
    memory_gb = max(1, math.ceil(work.memory_gb))
    seconds = work.requests * (work.billed_s + work.cold_share * math.ceil(work.init_ms) / 1e3)
    data_gb = work.requests * (work.request_bytes + work.response_bytes) / _GB
    return {
        "SageMaker time": prices.sagemaker_serverless.of(seconds * memory_gb),
        "SageMaker data": prices.sagemaker_data.of(data_gb),
        "data transfer": _transfer(work, prices),
        "watching": _watching(work, prices),
        "S3 and image": _storage(work, prices),
    }


def instances(work: Workload, prices: Prices) -> Bill:
    """Instances that are always on, as many as the busiest hour needs at 70 % of their CPUs."""
    return {
        "instances": prices.instance.of(MONTH_HOURS * instances_for(work)),
        "data transfer": _transfer(work, prices),
        "watching": _watching(work, prices),
        "S3 and image": _storage(work, prices),
    }


def instances_for(work: Workload) -> int:
    """How many instances the busiest hour needs; never less than one."""
    vcpus = max(work.rates) * work.duration_ms / 1e3 * min(1.0, work.memory_mb / _MB_PER_VCPU)
    return max(1, math.ceil(vcpus / (_INSTANCE_VCPUS * _INSTANCE_USE)))


def worthwhile_use(prices: Prices, architecture: str) -> float:
    """The share of time that a provisioned environment must be busy to cost less than on demand.

    Above 1 it never does: then it buys latency alone.
    """
    saved = prices.duration(architecture).of(1) - prices.provisioned_duration(architecture).of(1)
    return prices.provisioned(architecture).of(1) / saved


def instance_break_even(work: Workload, prices: Prices) -> float:
    """The mean rate at which one instance, if that is enough, costs what Lambda on demand does.

    The day keeps its shape.
    """
    mean = sum(work.rates) / HOURS
    shape = [rate / mean for rate in work.rates] if mean else [1.0] * HOURS

    def difference(rate: float) -> float:
        scaled = replace(work, rates=[rate * part for part in shape])
        one = instances(replace(scaled, duration_ms=0), prices)
        return total(on_demand(scaled, prices)) - total(one)

    low, high = 0.0, 1.0
    while difference(high) < 0:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if difference(middle) < 0 else (low, middle)
    return high


def watched_share(work: Workload, prices: Prices) -> float:
    """Of what serving on demand costs, what `capture` and `monitor` cost on top."""
    cost = on_demand(work, prices)
    watching = cost.pop("capture", 0.0) + cost.pop("monitor", 0.0)
    return watching / total(cost)


def watched_from(work: Workload, prices: Prices, most: float) -> float:
    """From how many requests per second on watching costs at most ``most`` of serving; infinite if from none.

    The day keeps its shape.
    """
    mean = sum(work.rates) / HOURS
    shape = [rate / mean for rate in work.rates] if mean else [1.0] * HOURS

    def share(rate: float) -> float:
        return watched_share(replace(work, rates=[rate * part for part in shape]), prices)

    low, high = 0.0, 1.0
    while share(high) > most:
        low, high = high, high * 2
        if high > _MOST_RPS:
            return math.inf
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if share(middle) > most else (low, middle)
    return high


def total(bill: Bill) -> float:
    """All of it."""
    return sum(bill.values())


def busy_share(load: float, environments: int) -> float:
    """The share of requests that finds all environments busy (Erlang's loss formula); ``load`` in Erlangs."""
    share = 1.0
    for number in range(1, environments + 1):
        share = load * share / (number + load * share)
    return share


def _fewest(load: float, spill: float) -> int:
    share, number = 1.0, 0
    while number < 1 or share > spill:
        number += 1
        share = load * share / (number + load * share)
    return number


def _around(work: Workload, prices: Prices, *, starts: float) -> Bill:
    """What an endpoint costs around its function."""
    return {
        "API Gateway": _api(work, prices),
        "data transfer": _transfer(work, prices),
        "watching": _watching(work, prices),
        "S3 and image": _storage(work, prices)
        + prices.s3_get.of(starts * (1 + math.ceil(work.model_bytes / _RANGE_BYTES))),
        **({"shadow": _shadow(work, prices)} if work.shadow else {}),
        **({"capture": _capture(work, prices)} if work.capture else {}),
        **({"monitor": _monitor(work, prices)} if work.monitor_minutes else {}),
    }


def _shadow(work: Workload, prices: Prices) -> float:
    """A second version on demand: its requests and their duration, logs, and the metrics of both."""
    requests = work.requests * work.shadow
    log_gb = requests * _LOG_BYTES / _GB
    return (
        prices.lambda_request.of(requests)
        + prices.duration(work.architecture).of(requests * work.billed_s * work.memory_gb)
        + prices.log_ingestion.of(log_gb)
        + prices.log_storage.of(log_gb)
        + prices.metric.of(SHADOW_METRICS)
    )


def _capture(work: Workload, prices: Prices) -> float:
    """Records of Firehose, the time that the function is billed for them, and a month in S3."""
    records = work.requests * work.capture
    plain_bytes = _RECORD_BYTES + work.request_bytes + work.response_bytes
    record_bytes = plain_bytes * _GZIPPED_SHARE
    seconds = _SENDING_MS / 1e3 + plain_bytes * _GZIP_S_PER_BYTE
    billed = math.ceil(record_bytes / _RECORD_STEP_BYTES) * _RECORD_STEP_BYTES
    objects = min(records, _MONTH_SECONDS / _OBJECT_SECONDS)
    return (
        prices.firehose.of(records * billed / 1024**3)
        + prices.duration(work.architecture).of(records * seconds * work.memory_gb)
        + prices.s3_put.of(objects)
        + prices.s3_storage.of(records * record_bytes / _GB)
    )


def _monitor(work: Workload, prices: Prices) -> float:
    watching = Watching(work.monitor_minutes, captured=work.requests * work.capture)
    rates = Rates(
        request=prices.lambda_request.of(1),
        gb_second=prices.duration(work.architecture).of(1),
        alarm=prices.alarm.of(1),
        put=prices.s3_put.of(1),
        get=prices.s3_get.of(1),
    )
    return monthly_usd(watching, rates)


def _api(work: Workload, prices: Prices) -> float:
    if work.api == "rest":
        return prices.api_rest.of(work.requests)
    units = max(1, math.ceil(max(work.request_bytes, work.response_bytes) / _HTTP_UNIT_BYTES))
    return prices.api_http.of(work.requests * units)


def _transfer(work: Workload, prices: Prices) -> float:
    return prices.transfer_out.of(work.requests * work.response_bytes / _GB)


def _watching(work: Workload, prices: Prices) -> float:
    """Logs, kept for a month; metrics, alarms and the dashboard."""
    log_gb = work.requests * _LOG_BYTES / _GB
    return (
        prices.log_ingestion.of(log_gb)
        + prices.log_storage.of(log_gb)
        + prices.metric.of(METRICS)
        + prices.alarm.of(work.alarms)
        + prices.dashboard.of(DASHBOARDS)
    )


def _storage(work: Workload, prices: Prices) -> float:
    return prices.s3_storage.of(work.model_bytes / _GB) + prices.image_storage.of(_IMAGE_GB)
