"""`make bench-warm`: a request in an environment that is warm, over the model's own run.

The handler is measured twice: in this process, from the event's bytes to the reply's, in turn with the raw
`session.run` of the same file; and as the image's process with its loop, over a runtime API on loopback.
All figures are CPU time, the medians of many rounds.
"""

import argparse
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnxruntime

from benchmarks.clients import digits, http_api_event
from benchmarks.environments import ROOT
from benchmarks.models import CLS, MODELS, Case, Model
from benchmarks.produce import by_optimize, prepare
from benchmarks.publish import insert, markdown, show, where, write
from benchmarks.samples import Array, read_set
from benchmarks.serve import DOCUMENT
from bundle.served import read_manifest
from handlers.inference.documents import read_event
from handlers.inference.function import Function

_MINILM = next(model for model in MODELS if model.name == "minilm")
_LENGTH = 128
_DATATYPES = {"float32": "FP32", "int64": "INT64"}
_COLUMNS = (
    "model",
    "body",
    "KB",
    "raw run ms",
    "handler ms",
    "handler over raw",
    "with the loop ms",
    "with the loop over raw",
)


@dataclass(frozen=True)
class Subject:
    """A bundle and one request to it."""

    title: str
    body: str
    bundle: Path
    sample: Mapping[str, Array]
    content: bytes
    event: bytes

    @property
    def environment(self) -> dict[str, str]:
        """How a function finds the bundle."""
        return {"COLDPRESS_BUNDLE_DIR": str(self.bundle), "COLDPRESS_MODEL": "model"}


def main() -> None:
    """Print the table, and write results/warm.json and docs/serve.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--runs", type=int, default=40, help="of each in a round")
    options = parser.parse_args()
    rows = [_row(subject, options.rounds, options.runs) for subject in _subjects()]
    show("warm", rows, _COLUMNS)
    content = write("warm", rows, {})
    cells = ([row[column] for column in _COLUMNS] for row in rows)
    insert(DOCUMENT, "bench-warm", f"{markdown(_COLUMNS, cells)}\n\n{where(content)}")


def _subjects() -> Iterator[Subject]:
    bundle, sample = _pressed(CLS, Case(0.01, target="x86_64"))
    yield _subject("PP-OCRv4 cls", "OIP binary", bundle, sample, *_binary(sample))
    yield _subject("PP-OCRv4 cls", "JSON", bundle, sample, _json(sample), {})
    bundle, sample = _pressed(_MINILM, Case(0.005, target="x86_64"))
    sample = {name: _lengthened(array) for name, array in sample.items()}
    yield _subject(f"all-MiniLM-L6-v2, [1, {_LENGTH}]", "OIP binary", bundle, sample, *_binary(sample))
    yield _subject(f"all-MiniLM-L6-v2, [1, {_LENGTH}]", "JSON", bundle, sample, _json(sample), {})


def _pressed(model: Model, case: Case) -> tuple[Path, dict[str, Array]]:
    folder = prepare(model)
    produced = by_optimize(model, case)
    if produced.error:
        sys.exit(f"{model.title}: optimize failed: {produced.error}")
    return Path(produced.model).parent, next(read_set(folder / "report"))


def _lengthened(tokens: Array) -> Array:
    """A row of tokens, repeated until it has the length that is asked for."""
    row = tokens.reshape(1, -1)
    return row.repeat(-(-_LENGTH // row.shape[1]), axis=1)[:, :_LENGTH].copy()


def _described(name: str, array: Array) -> dict[str, Any]:
    return {"name": name, "shape": list(array.shape), "datatype": _DATATYPES[array.dtype.name]}


def _json(sample: Mapping[str, Array]) -> bytes:
    inputs = [{**_described(name, array), "data": digits(array.ravel())} for name, array in sample.items()]
    return json.dumps({"inputs": inputs}).encode()


def _binary(sample: Mapping[str, Array]) -> tuple[bytes, dict[str, str]]:
    inputs = [
        {**_described(name, array), "parameters": {"binary_data_size": array.nbytes}}
        for name, array in sample.items()
    ]
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    headers = {"inference-header-content-length": str(len(head)), "content-type": "application/octet-stream"}
    return head + b"".join(array.tobytes() for array in sample.values()), headers


def _subject(  # noqa: PLR0913, PLR0917 - a row of the table
    title: str,
    body: str,
    bundle: Path,
    sample: Mapping[str, Array],
    content: bytes,
    headers: Mapping[str, str],
) -> Subject:
    path = "/v2/models/model/infer"
    event = http_api_event(path, content, headers, is_binary=bool(headers))
    return Subject(title, body, bundle, sample, content, event)


def _row(subject: Subject, rounds: int, runs: int) -> dict[str, Any]:
    print(f"{subject.title}: {subject.body}", file=sys.stderr)
    raws, handlers, loops = [], [], []
    with _silent_stdout(), _loop(subject) as loop:
        raw, handler = _raw(subject), _handler(subject)
        for number in range(rounds + 1):
            figures = _cpu_ms(raw, runs), _cpu_ms(handler, runs), loop(runs)
            if number:  # the first round is the warm-up
                for values, value in zip((raws, handlers, loops), figures, strict=True):
                    values.append(value)
    base = statistics.median(raws)
    values = (
        subject.title,
        subject.body,
        len(subject.content) / 1e3,
        base,
        statistics.median(handlers),
        statistics.median(value / raw for value, raw in zip(handlers, raws, strict=True)),
        statistics.median(loops),
        statistics.median(value / raw for value, raw in zip(loops, raws, strict=True)),
    )
    return dict(zip(_COLUMNS, values, strict=True))


def _cpu_ms(call: Callable[[], object], runs: int) -> float:
    """The median of some runs."""
    times = []
    for _ in range(runs):
        start = time.thread_time_ns()
        call()
        times.append(time.thread_time_ns() - start)
    return statistics.median(times) / 1e6


def _raw(subject: Subject) -> Callable[[], object]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    served = subject.bundle / read_manifest((subject.bundle / "manifest.json").read_bytes(), None).serve
    if served.suffix == ".ort":
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(served, options)
    sample = dict(subject.sample)
    return lambda: session.run(None, sample)


def _handler(subject: Subject) -> Callable[[], object]:
    function = Function(subject.environment)

    def answer() -> bytes:
        return function.answer(read_event(subject.event), "id").as_json()

    if b'"statusCode":200' not in answer():
        sys.exit(f"{subject.title}: {answer()[:300]!r}")
    return answer


@contextlib.contextmanager
def _silent_stdout() -> Iterator[None]:
    """Lines of metrics are written as in Lambda, but to nowhere."""
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


@contextlib.contextmanager
def _loop(subject: Subject) -> Iterator[Callable[[int], float]]:
    """The image's process; calling the result gives CPU ms of one of so many requests."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        environment = {
            **subject.environment,
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{listener.getsockname()[1]}",
            "PYTHONPATH": sysconfig.get_path("platlib"),
        }
        command = [sys.executable, "-I", "-S", str(ROOT / "handlers/inference/bootstrap.py")]
        listener.settimeout(20)
        with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
            try:
                connection, _ = listener.accept()
                with connection, connection.makefile("rb") as reader:
                    _read(reader)
                    yield lambda runs: _loop_ms(process.pid, connection, reader, subject.event, runs)
            finally:
                process.kill()


def _loop_ms(pid: int, connection: socket.socket, reader: Any, event: bytes, runs: int) -> float:
    deadline = f"{time.time() * 1000 + 60_000:.0f}"
    head = (
        f"HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: id\r\nLambda-Runtime-Deadline-Ms: {deadline}\r\n"
        f"Content-Length: {len(event)}\r\n\r\n"
    ).encode()
    start = _cpu_ns(pid)
    for _ in range(runs):
        connection.sendall(head + event)
        if b'"statusCode":200' not in _read(reader):
            raise SystemExit("the loop gave a wrong answer.")
        connection.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
        _read(reader)  # the next GET
    return (_cpu_ns(pid) - start) / runs / 1e6


def _read(reader: Any) -> bytes:
    """The body of the process's next request."""
    length = 0
    while (line := reader.readline()) != b"\r\n":
        if not line:
            raise SystemExit("the loop ended.")
        name, _, value = line.partition(b":")
        length = int(value) if name.lower() == b"content-length" else length
    return bytes(reader.read(length))


def _cpu_ns(pid: int) -> int:
    """Of all threads, in nanoseconds."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks)


if __name__ == "__main__":
    main()
