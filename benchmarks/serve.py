"""`make bench-serve`: `coldpress serve` beside other servers of one machine, the same model, in one run.

All serve the same ONNX file, cls as `optimize` pressed it, with a worker for each core, one at a time and in
another order in each round. The clients' side is benchmarks/load.py, on the same cores as the server.
"""

import argparse
import contextlib
import json
import os
import random
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from benchmarks.clients import digits
from benchmarks.environments import ROOT, python_of
from benchmarks.load import Failed, ask, load
from benchmarks.models import CLS, Case
from benchmarks.produce import by_optimize, prepare
from benchmarks.publish import insert, markdown, show, where, write
from benchmarks.samples import Array, read_set
from benchmarks.servers import PACKAGES

DOCUMENT = ROOT / "docs" / "serve.md"
_START_SECONDS = 60
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


@dataclass(frozen=True)
class Server:
    """One row: a command that serves at ``{port}``, and one request to it."""

    title: str
    body: str
    command: tuple[str, ...]
    request: bytes
    variables: Mapping[str, str] = field(default_factory=dict)


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


class Raw:
    """ONNX Runtime alone, on one thread, as everybody here has it."""

    def __init__(self, model: Path, sample: Mapping[str, Array]) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(model, options)
        self._sample = dict(sample)
        (self.expected,) = self._session.run(None, self._sample)

    def seconds(self) -> float:
        """One run's, the median of many."""
        times = []
        for _ in range(300):
            start = time.perf_counter()
            self._session.run(None, self._sample)
            times.append(time.perf_counter() - start)
        return statistics.median(times)


def main() -> None:
    """Print the table, and write results/serve.json and docs/serve.md if all of it was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="servers whose title holds this; nothing is written then")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4, help="of each measurement")
    options = parser.parse_args()
    bundle, sample = pressed_cls()
    (name, x), *_ = sample.items()
    raw = Raw(bundle / "model.onnx", sample)
    servers = [one for one in _servers(bundle, name, x) if (options.only or "") in one.title]
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


def pressed_cls() -> tuple[Path, dict[str, Array]]:
    """The bundle that `optimize` makes of cls, and one sample: a text line, [1, 3, 48, 192]."""
    folder = prepare(CLS)
    produced = by_optimize(CLS, Case(0.01, target="x86_64"))
    if produced.error:
        sys.exit(f"cls: optimize failed: {produced.error}")
    return Path(produced.model).parent, next(read_set(folder / "report"))


def _servers(bundle: Path, name: str, x: Array) -> Iterator[Server]:
    peers = {"MODEL": str(bundle / "model.onnx"), "WORKERS": str(os.cpu_count()), "PYTHONPATH": str(ROOT)}
    ours = (str(Path(sys.executable).with_name("coldpress")), "serve", str(bundle), "--port", "{port}")
    tensor = {"name": name, "shape": list(x.shape), "datatype": "FP32"}
    oip_json = json.dumps({"inputs": [{**tensor, "data": digits(x.ravel())}]}).encode()
    described = {**tensor, "parameters": {"binary_data_size": x.nbytes}}
    head = json.dumps({"inputs": [described], "parameters": {"binary_data_output": False}}).encode()
    binary = {"Inference-Header-Content-Length": str(len(head)), "Content-Type": "application/octet-stream"}
    plain = json.dumps({"x": digits(x)}).encode()

    def peer(title: str, body: str, request: bytes) -> Server:
        environment = title.lower()
        command = (str(python_of(environment)), "-m", f"benchmarks.servers.{environment}")
        return Server(title, body, command, request, peers)

    infer = "/v2/models/cls/infer"
    yield Server("coldpress", "JSON", ours, _post(infer, oip_json))
    yield Server("coldpress", "OIP binary", ours, _post(infer, head + x.tobytes(), binary))
    yield peer("MLServer", "JSON", _post(infer, oip_json))
    yield peer("KServe", "JSON", _post(infer, oip_json))
    yield peer("KServe", "OIP binary", _post(infer, head + x.tobytes(), binary))
    for title in ("FastAPI", "BentoML", "LitServe"):
        yield peer(title, "JSON", _post("/predict", plain))


def _post(path: str, body: bytes, headers: Mapping[str, str] | None = None) -> bytes:
    fields = {"Host": "127.0.0.1", "Content-Type": "application/json", **(headers or {})}
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


def _measure(server: Server, measured: Measured, raw: Raw, seconds: float) -> None:
    with _running(server) as (port, process):
        started = time.perf_counter()
        body = _first_answer(port, server.request, process)
        measured.starts.append(time.perf_counter() - started)
        _check(body, raw.expected)
        load(port, server.request, _CLIENTS, _WARM_UP_SECONDS)
        alone = raw.seconds()
        latency = statistics.median(load(port, server.request, 1, seconds))
        measured.latencies.append(latency)
        measured.over_raw.append(latency / alone)
        before = _cpu_seconds(process.pid)
        many = sorted(load(port, server.request, _CLIENTS, seconds))
        measured.cpu.append((_cpu_seconds(process.pid) - before) / len(many))
        measured.rates.append(len(many) / seconds)
        measured.slow.append(many[int(len(many) * 0.99)])


@contextlib.contextmanager
def _running(server: Server) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    port = _free_port()
    command = [part.format(port=port) for part in server.command]
    with tempfile.TemporaryDirectory() as scratch, (Path(scratch) / "log.txt").open("w") as log:
        process = subprocess.Popen(
            command,
            cwd=scratch,  # some leave files where they run
            env={**os.environ, **server.variables, "PORT": str(port)},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            yield port, process
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """All of the server's processes, some of which outlive the first."""
    for number, seconds in ((signal.SIGTERM, 15), (signal.SIGKILL, 15)):
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(process.pid, number)
            process.wait(seconds)


def _cpu_seconds(root: int) -> float:
    """Of a process and all below it: what a server takes, whatever else the machine does."""
    parents, ticks = {}, {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has just ended
            fields = file.read_text().rpartition(")")[2].split()
            pid = int(file.parent.name)
            parents[pid], ticks[pid] = int(fields[1]), int(fields[11]) + int(fields[12])
    family = {root}
    while found := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= found
    return sum(ticks[pid] for pid in family if pid in ticks) / os.sysconf("SC_CLK_TCK")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _first_answer(port: int, request: bytes, process: subprocess.Popen[bytes]) -> bytes:
    """Ask until there is an answer: before that, nobody listens, or the model is not ready."""
    deadline = time.perf_counter() + _START_SECONDS
    while True:
        try:
            return ask(port, request)
        except (Failed, OSError) as error:
            if time.perf_counter() > deadline or process.poll() is not None:
                raise Failed(f"no answer after the start: {error}") from None
        time.sleep(0.01)


def _check(body: bytes, expected: Array) -> None:
    """The answer's last numbers are the model's."""
    numbers = [float(text) for text in re.findall(r"-?\d+\.\d+(?:[eE][-+]?\d+)?", body.decode())]
    if not np.allclose(numbers[-expected.size :], expected.ravel(), atol=1e-3):
        raise Failed(f"a wrong answer: {body[:200]!r}, not {expected.tolist()}")


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
