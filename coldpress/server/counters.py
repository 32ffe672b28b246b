"""What /metrics shows: numbers in memory that all workers share; each writes its own row, without locks."""

import mmap
from bisect import bisect_left
from collections.abc import Iterator, Sequence

PROTOCOLS = ("tfserving", "oip", "transform", "other")
_STATUSES = ("2xx", "3xx", "4xx", "5xx")
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128)

# Where each begins in a worker's row of doubles. A histogram: its buckets, one without a bound, the sum.
_REQUESTS = 0
_LATENCY = _REQUESTS + len(PROTOCOLS) * len(_STATUSES)
_LATENCY_WIDTH = len(_SECONDS) + 2
_BATCHES = _LATENCY + len(PROTOCOLS) * _LATENCY_WIDTH
_CONNECTIONS = _BATCHES + len(_ROWS) + 2
_STARTS = _CONNECTIONS + 1
_UNWATCHED = _STARTS + 1
_WIDTH = _UNWATCHED + 1


def protocol_of(path: str) -> str:
    """The protocol that a path belongs to; the user's own transform is one too."""
    if path.endswith(":transform"):
        return "transform"
    return "tfserving" if path.startswith("/v1/") else "oip" if path.startswith("/v2") else "other"


class Counters:
    """The rows of all workers; made before they are forked."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._numbers = memoryview(mmap.mmap(-1, (1 + workers * _WIDTH) * 8)).cast("d")
        self.best_rows = 1

    @property
    def best_rows(self) -> int:
        """How many rows are run as one at most."""
        return int(self._numbers[0])

    @best_rows.setter
    def best_rows(self, rows: int) -> None:
        self._numbers[0] = rows

    def of(self, worker: int) -> "Row":
        """One worker's row, to be written by it alone."""
        start = 1 + worker * _WIDTH
        return Row(self._numbers[start : start + _WIDTH])

    def connections(self) -> list[int]:
        """How many connections each worker holds."""
        return [int(self._numbers[1 + worker * _WIDTH + _CONNECTIONS]) for worker in range(self.workers)]

    def exposition(self, labels: dict[str, str]) -> str:
        """All of it in Prometheus' text format; ``labels`` are those of the model."""
        rows = [
            self._numbers[1 + worker * _WIDTH : 1 + (worker + 1) * _WIDTH] for worker in range(self.workers)
        ]
        total = [sum(column) for column in zip(*rows, strict=True)]
        return "".join(f"{line}\n" for line in _lines(total, labels, self.workers, self.best_rows))


class Row:
    """One worker's numbers."""

    def __init__(self, numbers: "memoryview[float]") -> None:
        self._numbers = numbers

    def started(self) -> None:
        """The worker begins, or begins again in the place of one that died."""
        self._numbers[_CONNECTIONS] = 0
        self._numbers[_STARTS] += 1

    def set_connections(self, count: int) -> None:
        """So many are open now."""
        self._numbers[_CONNECTIONS] = count

    def answered(self, protocol: str, status: int, seconds: float) -> None:
        """One request was answered, so long after its last byte had arrived."""
        index = PROTOCOLS.index(protocol)
        self._numbers[_REQUESTS + index * len(_STATUSES) + min(max(status // 100, 2), 5) - 2] += 1
        start = _LATENCY + index * _LATENCY_WIDTH
        self._numbers[start + bisect_left(_SECONDS, seconds)] += 1
        self._numbers[start + _LATENCY_WIDTH - 1] += seconds

    def unwatched(self) -> None:
        """One request was too large to be watched, or came faster than the last ones were looked at."""
        self._numbers[_UNWATCHED] += 1

    def ran(self, rows: int) -> None:
        """The model ran once, on so many rows."""
        self._numbers[_BATCHES + bisect_left(_ROWS, rows)] += 1
        self._numbers[_BATCHES + len(_ROWS) + 1] += rows


def _lines(total: Sequence[float], labels: dict[str, str], workers: int, best_rows: int) -> Iterator[str]:
    yield "# HELP coldpress_model_info The model that is served."
    yield "# TYPE coldpress_model_info gauge"
    yield f"coldpress_model_info{_labels(labels)} 1"
    yield "# HELP coldpress_requests_total Requests answered."
    yield "# TYPE coldpress_requests_total counter"
    for index, protocol in enumerate(PROTOCOLS):
        by_protocol = {"protocol": protocol}
        for position, status in enumerate(_STATUSES):
            value = total[_REQUESTS + index * len(_STATUSES) + position]
            yield f"coldpress_requests_total{_labels({**by_protocol, 'status': status})} {_number(value)}"
    yield "# HELP coldpress_request_duration_seconds From a request's last byte to its answer."
    yield "# TYPE coldpress_request_duration_seconds histogram"
    for index, protocol in enumerate(PROTOCOLS):
        start = _LATENCY + index * _LATENCY_WIDTH
        numbers = total[start : start + _LATENCY_WIDTH]
        yield from _histogram("coldpress_request_duration_seconds", {"protocol": protocol}, _SECONDS, numbers)
    yield "# HELP coldpress_batch_rows Rows that were run as one."
    yield "# TYPE coldpress_batch_rows histogram"
    numbers = total[_BATCHES : _BATCHES + len(_ROWS) + 2]
    yield from _histogram("coldpress_batch_rows", {}, _ROWS, numbers)
    for name, kind, what, value in (
        ("batch_rows_limit", "gauge", "Rows that are run as one at most.", best_rows),
        ("connections", "gauge", "Open connections.", total[_CONNECTIONS]),
        ("workers", "gauge", "Worker processes.", workers),
        (
            "worker_starts_total",
            "counter",
            "Workers started, those that replaced others too.",
            total[_STARTS],
        ),
        (
            "unwatched_requests_total",
            "counter",
            "Requests that the monitor left out: too large, or too fast for it.",
            total[_UNWATCHED],
        ),
    ):
        yield f"# HELP coldpress_{name} {what}"
        yield f"# TYPE coldpress_{name} {kind}"
        yield f"coldpress_{name} {_number(value)}"


def _histogram(
    name: str, labels: dict[str, str], bounds: Sequence[float], numbers: Sequence[float]
) -> Iterator[str]:
    count = 0.0
    for bound, value in zip([*map(str, bounds), "+Inf"], numbers[:-1], strict=True):
        count += value
        yield f"{name}_bucket{_labels({**labels, 'le': bound})} {_number(count)}"
    yield f"{name}_sum{_labels(labels)} {_number(numbers[-1])}"
    yield f"{name}_count{_labels(labels)} {_number(count)}"


def _labels(labels: dict[str, str]) -> str:
    if not labels:
        return ""
    escaped = (
        (name, value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"'))
        for name, value in labels.items()
    )
    return "{" + ",".join(f'{name}="{value}"' for name, value in escaped) + "}"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
