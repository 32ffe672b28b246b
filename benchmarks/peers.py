"""`coldpress serve` and the other servers of one machine: how each is started, asked, checked and ended."""

import contextlib
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnxruntime

from benchmarks.clients import compact, digits
from benchmarks.environments import ROOT, python_of
from benchmarks.load import Failed, ask
from benchmarks.samples import Array

_START_SECONDS = 60


@dataclass(frozen=True)
class Server:
    """One row: a command that serves at ``{port}``, and one request to it."""

    title: str
    body: str
    command: tuple[str, ...]
    request: bytes
    variables: Mapping[str, str] = field(default_factory=dict)


def raw_session(model: Path) -> onnxruntime.InferenceSession:
    """On one thread; ``.ort`` as it was optimised."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    if model.suffix == ".ort":
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model, options)


class Raw:
    """ONNX Runtime alone, on one thread, as everybody here has it."""

    def __init__(self, model: Path, sample: Mapping[str, Array]) -> None:
        self._session = raw_session(model)
        self._sample = dict(sample)
        (self.expected,) = self._session.run(None, self._sample)

    def seconds(self, runs: int = 300, clock: Callable[[], float] = time.perf_counter) -> float:
        """One run's, the median of many."""
        times = []
        for _ in range(runs):
            start = clock()
            self._session.run(None, self._sample)
            times.append(clock() - start)
        return statistics.median(times)


def all_servers(bundle: Path, sample: Mapping[str, Array], workers: int) -> Iterator[Server]:
    """Each with its requests: the first input of ``sample``, the only one."""
    name, x = next(iter(sample.items()))
    peers = {"MODEL": str(bundle / "model.onnx"), "WORKERS": str(workers), "PYTHONPATH": str(ROOT)}
    coldpress = str(Path(sys.executable).with_name("coldpress"))
    ours = (coldpress, "serve", str(bundle), "--port", "{port}", "--workers", str(workers))
    tensor = {"name": name, "shape": list(x.shape), "datatype": "FP32"}
    oip_json = compact({"inputs": [{**tensor, "data": digits(x.ravel())}]})
    described = {**tensor, "parameters": {"binary_data_size": x.nbytes}}
    head = compact({"inputs": [described], "parameters": {"binary_data_output": False}})
    binary = {"Inference-Header-Content-Length": str(len(head)), "Content-Type": "application/octet-stream"}
    plain = compact({"x": digits(x)})

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


@contextlib.contextmanager
def running(server: Server) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """The port, on which it may not listen yet, and the first of its processes; ended with the block."""
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


def cpu_seconds(root: int) -> float:
    """Of a process and all below it, to the nanosecond: what a server takes, whoever else works."""
    parents = {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has just ended
            parents[int(file.parent.name)] = int(file.read_text().rpartition(")")[2].split()[1])
    family = {root}
    while found := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= found
    total = 0
    for task in (task for pid in family for task in Path(f"/proc/{pid}/task").glob("*/schedstat")):
        with contextlib.suppress(OSError):
            total += int(task.read_text().split()[0])
    return total / 1e9


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def first_answer(port: int, request: bytes, process: subprocess.Popen[bytes]) -> bytes:
    """Ask until there is an answer: before that, nobody listens, or the model is not ready."""
    deadline = time.perf_counter() + _START_SECONDS
    while True:
        try:
            return ask(port, request)
        except (Failed, OSError) as error:
            if time.perf_counter() > deadline or process.poll() is not None:
                raise Failed(f"no answer after the start: {error}") from None
        time.sleep(0.01)


def check_answer(body: bytes, expected: Array) -> None:
    """The answer's last numbers are the model's."""
    numbers = [float(text) for text in re.findall(r"-?\d+\.\d+(?:[eE][-+]?\d+)?", body.decode())]
    if not np.allclose(numbers[-expected.size :], expected.ravel(), atol=1e-3):
        raise Failed(f"a wrong answer: {body[:200]!r}, not {expected.tolist()}")
