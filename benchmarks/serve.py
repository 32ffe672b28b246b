"""`make bench-serve`: `coldpress serve` beside other servers of one machine, the same model, in one run.

All serve the same ONNX file, cls as `optimize` pressed it, with a worker for each core, one at a time and in
another order in each round. The clients' side is benchmarks/load.py, on the same cores as the server.
"""

import argparse
import os
import random
import statistics
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from benchmarks.environments import ROOT
from benchmarks.load import Failed, load
from benchmarks.models import CLS, Case
from benchmarks.peers import Raw, Server, all_servers, check_answer, cpu_seconds, first_answer, running
from benchmarks.pressed import pressed
from benchmarks.publish import insert, markdown, show, where, write
from benchmarks.servers import PACKAGES

DOCUMENT = ROOT / "docs" / "serve.md"
_WARM_UP_SECONDS = 1.5
_CLIENTS = 8
_COLUMNS = (
    "server",
    "body",
    "p50 ms, 1 client",
    "p50 over raw",
    f"requests/s, {_CLIENTS} clients",
    f"p99 ms, {_CLIENTS} clients",
    "server's CPU ms a request",
    "first answer s",
    "error",
)

Row = dict[str, Any]


@dataclass
class Measured:
    """A server's figures, one of each round."""

    latencies: list[float] = field(default_factory=list)
    over_raw: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    slow: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)
    error: str = ""


def main() -> None:
    """Print the table, and write results/serve.json and docs/serve.md if all of it was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="servers whose title holds this; nothing is written then")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4, help="of each measurement")
    options = parser.parse_args()
    bundle, sample = pressed(CLS, Case(0.01, target="x86_64"))
    raw = Raw(bundle / "model.onnx", sample)
    servers = [
        one for one in all_servers(bundle, sample, os.cpu_count() or 1) if (options.only or "") in one.title
    ]
    measured = {(one.title, one.body): Measured() for one in servers}
    dice = random.Random(0)
    for number in range(options.rounds):
        for one in dice.sample(servers, len(servers)):
            print(f"round {number + 1} of {options.rounds}: {one.title}, {one.body}", file=sys.stderr)
            try:
                _measure(one, measured[one.title, one.body], raw, options.seconds)
            except (Failed, OSError) as error:
                measured[one.title, one.body].error = str(error)[:200].replace(str(ROOT), "")
    rows = [_row(one, measured[one.title, one.body]) for one in servers]
    show("serve", rows, _COLUMNS)
    if not options.only:
        content = write("serve", rows, {name: " ".join(packages) for name, packages in PACKAGES.items()})
        cells = ([row[column] for column in _COLUMNS] for row in rows)
        insert(DOCUMENT, "bench-serve", f"{markdown(_COLUMNS, cells)}\n\n{where(content)}")


def _measure(server: Server, measured: Measured, raw: Raw, seconds: float) -> None:
    with running(server) as (port, process):
        started = time.perf_counter()
        body = first_answer(port, server.request, process)
        measured.starts.append(time.perf_counter() - started)
        check_answer(body, raw.expected)
        load(port, server.request, _CLIENTS, _WARM_UP_SECONDS)
        alone = raw.seconds()
        latency = statistics.median(load(port, server.request, 1, seconds))
        measured.latencies.append(latency)
        measured.over_raw.append(latency / alone)
        before = cpu_seconds(process.pid)
        many = sorted(load(port, server.request, _CLIENTS, seconds))
        measured.cpu.append((cpu_seconds(process.pid) - before) / len(many))
        measured.rates.append(len(many) / seconds)
        measured.slow.append(many[int(len(many) * 0.99)])


def _row(server: Server, measured: Measured) -> Row:
    def median(values: list[float], factor: float = 1) -> float | None:
        return statistics.median(values) * factor if values else None

    values = (
        median(measured.latencies, 1e3),
        median(measured.over_raw),
        median(measured.rates),
        median(measured.slow, 1e3),
        median(measured.cpu, 1e3),
        median(measured.starts),
        measured.error or None,
    )
    row = dict(zip(_COLUMNS, (server.title, server.body, *values), strict=True))
    return {**row, "requests/s of all": [round(rate) for rate in measured.rates]}


if __name__ == "__main__":
    main()
