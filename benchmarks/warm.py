"""`make bench-warm`: a request in an environment that is warm, over the model's own run.

The handler is measured twice: in this process, from the event's bytes to the reply's, in turn with the raw
`session.run` of the same file; and as the image's process with its loop, over a runtime API on loopback.
All figures are CPU time, the medians of many rounds. warm_servers.py measures other servers beside it.
"""

import argparse
import contextlib
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.clients import compact, digits, http_api_event
from benchmarks.loop import running_loop
from benchmarks.models import CLS, MODELS, Case
from benchmarks.peers import raw_session
from benchmarks.pressed import pressed, unpressed
from benchmarks.publish import insert, markdown, show, where, write
from benchmarks.samples import Array
from benchmarks.serve import DOCUMENT
from benchmarks.warm_servers import SERVER_COLUMNS, Served, measured, versions
from bundle.served import read_manifest
from handlers.inference.documents import read_event
from handlers.inference.function import Function

_MINILM = next(model for model in MODELS if model.name == "minilm")
_LENGTH = 128
_DATATYPES = {"float32": "FP32", "int64": "INT64"}
_BESIDE = """The same model and sample behind servers of one machine, a worker each, one request at a time.
All run at once and are asked in turn in each round; CPU time is that of all their processes' threads."""
_COLUMNS = (
    "model",
    "body",
    "KB",
    "raw run ms",
    "handler ms",
    "handler over raw",
    "with the loop ms",
    "with the loop over raw",
    "loop's overhead ms",
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
    parser.add_argument("--only", help="rows whose model holds this; nothing is written then")
    options = parser.parse_args()
    bundles = list(_bundles())
    subjects = [one for one in _subjects(bundles) if (options.only or "") in one.title]
    rows = [_row(subject, options.rounds, options.runs) for subject in subjects]
    show("warm", rows, _COLUMNS)
    beside = [one for one in bundles if one.title.startswith("PP") and (options.only or "") in one.title]
    servers = [row for one in beside for row in measured(one, options.rounds, options.runs)]
    show("warm, servers", servers, SERVER_COLUMNS)
    if not options.only:
        write("warm", rows, {})
        content = write("warm-servers", servers, versions())
        tables = _table(_COLUMNS, rows), _BESIDE, _table(SERVER_COLUMNS, servers), where(content)
        insert(DOCUMENT, "bench-warm", "\n\n".join(tables))


def _table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    return markdown(columns, ([row[column] for column in columns] for row in rows))


def _bundles() -> Iterator[Served]:
    bundle, sample = pressed(CLS, Case(0.01, target="x86_64"))
    yield Served("PP-OCRv4 cls", bundle, sample)
    yield Served("PP-OCRv4 cls, not pressed", unpressed(CLS, bundle), sample)
    bundle, sample = pressed(_MINILM, Case(0.005, target="x86_64"))
    sample = {name: _lengthened(array) for name, array in sample.items()}
    yield Served(f"all-MiniLM-L6-v2, [1, {_LENGTH}]", bundle, sample)


def _subjects(bundles: Sequence[Served]) -> Iterator[Subject]:
    for one in bundles:
        yield _subject(one, "OIP binary", *_binary(one.sample))
        yield _subject(one, "JSON", _json(one.sample), {})


def _lengthened(tokens: Array) -> Array:
    """A row of tokens, repeated until it has the length that is asked for."""
    row = tokens.reshape(1, -1)
    return row.repeat(-(-_LENGTH // row.shape[1]), axis=1)[:, :_LENGTH].copy()


def _described(name: str, array: Array) -> dict[str, Any]:
    return {"name": name, "shape": list(array.shape), "datatype": _DATATYPES[array.dtype.name]}


def _json(sample: Mapping[str, Array]) -> bytes:
    inputs = [{**_described(name, array), "data": digits(array.ravel())} for name, array in sample.items()]
    return compact({"inputs": inputs})


def _binary(sample: Mapping[str, Array]) -> tuple[bytes, dict[str, str]]:
    inputs = [
        {**_described(name, array), "parameters": {"binary_data_size": array.nbytes}}
        for name, array in sample.items()
    ]
    head = compact({"inputs": inputs, "parameters": {"binary_data_output": True}})
    headers = {"inference-header-content-length": str(len(head)), "content-type": "application/octet-stream"}
    return head + b"".join(array.tobytes() for array in sample.values()), headers


def _subject(served: Served, body: str, content: bytes, headers: Mapping[str, str]) -> Subject:
    event = http_api_event("/v2/models/model/infer", content, headers, is_binary=bool(headers))
    return Subject(served.title, body, served.bundle, served.sample, content, event)


def _row(subject: Subject, rounds: int, runs: int) -> dict[str, Any]:
    print(f"{subject.title}: {subject.body}", file=sys.stderr)
    raws, handlers, loops = [], [], []
    with _silent_stdout(), running_loop(subject.environment, subject.event) as loop:
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
        statistics.median(value - raw for value, raw in zip(loops, raws, strict=True)),
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
    served = read_manifest((subject.bundle / "manifest.json").read_bytes(), None).serve
    session = raw_session(subject.bundle / served)
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


if __name__ == "__main__":
    main()
