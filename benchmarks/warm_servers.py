"""`make bench-warm`: one request at a time to `coldpress serve` and other servers, over the model's own run.

All run at the same time, with one worker each, and are asked in turn: in each round the raw run, then every
server in another order. A server's CPU time is that of all threads of all its processes.
"""

import contextlib
import random
import statistics
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.load import Failed, load_times
from benchmarks.peers import Raw, Server, all_servers, check_answer, cpu_seconds, first_answer, running
from benchmarks.samples import Array
from benchmarks.servers import PACKAGES

SERVER_COLUMNS = (
    "model",
    "server",
    "body",
    "KB",
    "raw run ms",
    "CPU ms",
    "CPU over raw",
    "overhead ms",
    "p50 ms",
    "p50 over raw",
    "error",
)


@dataclass(frozen=True)
class Served:
    """A bundle, and one sample of its inputs."""

    title: str
    bundle: Path
    sample: Mapping[str, Array]


@dataclass
class _Figures:
    """One of each round: milliseconds of a run, of CPU time and of the clock, and of a request."""

    raw_cpu: list[float] = field(default_factory=list)
    raw: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    latency: list[float] = field(default_factory=list)
    error: str = ""


def versions() -> dict[str, str]:
    """What the other servers are."""
    return {name: " ".join(packages) for name, packages in PACKAGES.items()}


def measured(served: Served, rounds: int, runs: int) -> list[dict[str, Any]]:
    """A row for each server and kind of body; ``runs`` requests of each in a round."""
    raw = Raw(served.bundle / "model.onnx", served.sample)
    servers = list(all_servers(served.bundle, served.sample, workers=1))
    figures = [_Figures() for _ in servers]
    dice = random.Random(0)
    with contextlib.ExitStack() as stack:
        started = {}
        for index, server in enumerate(servers):
            print(f"{served.title}: {server.title}, {server.body}", file=sys.stderr)
            try:
                port, process = stack.enter_context(running(server))
                check_answer(first_answer(port, server.request, process), raw.expected)
                load_times(port, server.request, runs)
            except (Failed, OSError) as error:
                figures[index].error = str(error)[:200]
            else:
                started[index] = port, process.pid
        for _ in range(rounds):
            base, base_cpu = raw.seconds(runs) * 1e3, raw.seconds(runs, time.thread_time) * 1e3
            for index in dice.sample(sorted(started), len(started)):
                port, pid = started[index]
                before = cpu_seconds(pid)
                latencies = load_times(port, servers[index].request, runs)
                figures[index].cpu.append((cpu_seconds(pid) - before) / runs * 1e3)
                figures[index].latency.append(statistics.median(latencies) * 1e3)
                figures[index].raw.append(base)
                figures[index].raw_cpu.append(base_cpu)
    return [_row(served, server, one) for server, one in zip(servers, figures, strict=True)]


def _row(served: Served, server: Server, figures: _Figures) -> dict[str, Any]:
    def median(values: list[float]) -> float | None:
        return statistics.median(values) if values else None

    over = [value / base for value, base in zip(figures.cpu, figures.raw_cpu, strict=True)]
    more = [value - base for value, base in zip(figures.cpu, figures.raw_cpu, strict=True)]
    slower = [value / base for value, base in zip(figures.latency, figures.raw, strict=True)]
    values = (
        served.title,
        server.title,
        server.body,
        len(server.request.partition(b"\r\n\r\n")[2]) / 1e3,
        *map(median, (figures.raw_cpu, figures.cpu, over, more, figures.latency, slower)),
        figures.error or None,
    )
    return dict(zip(SERVER_COLUMNS, values, strict=True))
