"""`make bench-cold`: the first answer of a Lambda environment, ours beside what others write, in one run.

Every function answers the same request (TensorFlow Serving's columns, JSON, a real sample) in an API Gateway
event, under AWS's Runtime Interface Emulator. All are started in turn, round after round, so that what else
the machine does meets all of them alike. CPU time is the process's own; the wall clock runs from the request
to its answer, with the start of the process in between, at shares of a CPU as Lambda gives them.
"""

import argparse
import json
import os
import random
import statistics
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.clients import digits, http_api_event
from benchmarks.coldstart import Figures, Function, cold_start, evict
from benchmarks.environments import ROOT, python_of
from benchmarks.functions import PACKAGES
from benchmarks.models import CLS, MODELS, Case, Model
from benchmarks.produce import by_optimize, prepare
from benchmarks.publish import cell, insert, markdown, replace, show, where, write
from benchmarks.samples import Array, read_set
from benchmarks.store import BUCKET, Store, store
from benchmarks.task import image_folder
from coldpress.quota import NotAllowed, cpu_share

_BOUNDS = {"cls": 0.01, "rec": 0.01, "minilm": 0.005}
_CASES = {
    model.name: (model, Case(_BOUNDS[model.name], objective="cold-start", target="x86_64"))
    for model in (CLS, *MODELS)
    if model.name in _BOUNDS
}
_SHARES = (1.0, 0.5)
_BASELINE, _WEB = "plain", "FastAPI + Mangum"
_COLUMNS = (
    "model",
    "function",
    "file",
    "CPU ms",
    "of plain",
    "ms",
    "ms at 1 vCPU",
    "ms at 0.5",
    "MB read",
    "MB in image",
)
_DOCUMENT = ROOT / "docs" / "cold-start.md"
_MARKER = "<!-- Below: written by `make bench-cold` -->"

Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Competitor:
    """A row of the table: a function over one of the model's files."""

    title: str
    file: str
    function: Function
    packages: Path
    model: Path

    @property
    def size(self) -> int:
        """Bytes that it adds to the base image; a model in S3 adds none."""
        return _size(self.packages) + (0 if "S3" in self.title else _size(self.model))


def main() -> None:
    """Print the table; write results, docs/cold-start.md and README.md if all of it was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=_CASES, help="one model; nothing is written then")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    rows = []
    with store() as s3:
        for name in [options.only] if options.only else _CASES:
            rows += (of_model := _rows(*_CASES[name], s3, options.rounds))
            show(f"cold: {name}", of_model, _COLUMNS)
    if not options.only:
        versions = {environment: " ".join(packages) for environment, packages in PACKAGES.items()}
        content = write("cold", rows, versions)
        _document(content)
        _readme(content)


def _rows(model: Model, case: Case, s3: Store, rounds: int) -> list[Row]:
    folder = prepare(model)
    produced = by_optimize(model, case)
    if produced.error:
        sys.exit(f"{model.title}: optimize failed: {produced.error}")
    bundle = Path(produced.model).parent
    event = _event(model.name, next(read_set(folder / "report")))
    s3.put(model.name, folder / "model.onnx", bundle)
    competitors = list(_competitors(model.name, folder / "model.onnx", bundle, s3.variables))
    print(f"{model.title}: {len(competitors)} functions, {rounds} rounds", file=sys.stderr)
    free = _measure(competitors, event, rounds)
    shared = {share: _measured_within(share, competitors, event, rounds) for share in _SHARES}
    uncached = {one: _uncached(one, event) for one in competitors}
    baseline = next(one for one in competitors if (one.title, one.file) == (_BASELINE, "pressed"))
    base = statistics.median(figures.cpu_ms for figures in free[baseline])
    return [
        {
            "model": model.title,
            "function": one.title,
            "file": one.file,
            "CPU ms": (cpu := statistics.median(figures.cpu_ms for figures in free[one])),
            "of plain": cpu / base,
            "ms": statistics.median(figures.wall_ms for figures in free[one]),
            "ms at 1 vCPU": shared[1.0].get(one),
            "ms at 0.5": shared[0.5].get(one),
            "MB read": uncached[one],
            "MB in image": one.size / 1e6,
            "rounds": rounds,
            "CPU ms of all": [round(figures.cpu_ms, 2) for figures in free[one]],
        }
        for one in competitors
    ]


def _competitors(name: str, original: Path, bundle: Path, s3: Mapping[str, str]) -> Iterator[Competitor]:
    task = image_folder()
    in_image = {"COLDPRESS_BUNDLE_DIR": str(bundle), "COLDPRESS_MODEL": name}
    in_s3 = {"COLDPRESS_BUCKET": BUCKET, "COLDPRESS_MODEL": name, "COLDPRESS_DIGEST": bundle.name}
    own = (sys.executable, "-I", "-S", str(task / "handlers/inference/bootstrap.py"))
    client = (sys.executable, "-m", "awslambdaric", "handlers.inference.app.handler")
    served = Path(bundle / json.loads((bundle / "manifest.json").read_text())["serve"])

    def ours(title: str, command: tuple[str, ...], variables: dict[str, str]) -> Competitor:
        path = {"PYTHONPATH": str(task)}
        return Competitor(title, "pressed", Function(command, task, {**path, **variables}), task, served)

    yield ours("coldpress", own, in_image)
    yield ours("coldpress, awslambdaric", client, in_image)
    yield ours("coldpress, from S3", own, {**in_s3, **s3})
    for file, model in (("pressed", bundle / "model.onnx"), ("original", original)):
        yield _peer(_BASELINE, file, "plain", model, {"MODEL": str(model)})
        in_bucket = {"MODEL": f"s3://{BUCKET}/{name}/{file}.onnx", **s3}
        yield _peer("plain, boto3 from S3", file, "plain-boto3", model, in_bucket)
    yield _peer(_WEB, "pressed", "web", bundle / "model.onnx", {"MODEL": str(bundle / "model.onnx")})


def _peer(title: str, file: str, environment: str, model: Path, variables: Mapping[str, str]) -> Competitor:
    python = python_of(environment)
    packages = next(python.parents[1].glob("lib/python*/site-packages"))
    module = "web" if environment == "web" else "plain"
    command = (str(python), "-m", "awslambdaric", f"benchmarks.functions.{module}.handler")
    function = Function(command, ROOT, {"PYTHONPATH": str(ROOT), **variables})
    return Competitor(title, file, function, packages, model)


def _measured_within(
    share: float, competitors: list[Competitor], event: bytes, rounds: int
) -> dict[Competitor, float]:
    try:
        with cpu_share(share) as procs:
            measured = _measure(competitors, event, rounds, procs)
    except NotAllowed as error:
        print(error, file=sys.stderr)
        return {}
    return {one: statistics.median(figures.wall_ms for figures in all_) for one, all_ in measured.items()}


def _measure(
    competitors: list[Competitor], event: bytes, rounds: int, procs: Path | None = None
) -> dict[Competitor, list[Figures]]:
    """All in turn, each round in another order; a first round fills the caches and does not count."""
    measured: dict[Competitor, list[Figures]] = {one: [] for one in competitors}
    dice = random.Random(0)
    for number in range(rounds + 1):
        for one in dice.sample(competitors, len(competitors)):
            figures = cold_start(one.function, event, procs)
            if number:
                measured[one].append(figures)
    return measured


def _uncached(one: Competitor, event: bytes) -> float:
    """MB read from the disk until the first answer: packages, model and Python's own files."""
    python = Path(json.__file__).parents[1]
    os.sync()  # pages that are not on the disk yet cannot be dropped
    figures = []
    for _ in range(3):
        evict([one.packages, one.model, *one.model.parent.glob("manifest.json"), python])
        figures.append(cold_start(one.function, event).read_mb)
    return statistics.median(figures)


def _event(name: str, sample: Mapping[str, Array]) -> bytes:
    body = json.dumps({"inputs": {key: digits(value) for key, value in sample.items()}})
    return http_api_event(f"/v1/models/{name}:predict", body.encode(), {})


def _size(path: Path) -> int:
    files = [path] if path.is_file() else path.rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file())


def _document(content: Mapping[str, Any]) -> None:
    """Replace what stands below the marker in docs/cold-start.md."""
    head = _DOCUMENT.read_text().partition(_MARKER)[0]
    tables = []
    for title in dict.fromkeys(row["model"] for row in content["rows"]):
        rows = [row for row in content["rows"] if row["model"] == title]
        cells = ([cell(row[column]) for column in _COLUMNS[1:]] for row in rows)
        tables.append(f"## {title}\n\n{markdown(_COLUMNS[1:], cells)}")
    replace(_DOCUMENT, "\n\n".join([head + _MARKER, *tables, "## Where", where(content)]) + "\n")


def _readme(content: Mapping[str, Any]) -> None:
    """What one function takes for its first answer with each model, in README.md."""
    rows = [row for row in content["rows"] if row["file"] == "pressed"]
    models = list(dict.fromkeys(row["model"] for row in rows))
    table = [
        (
            function,
            *(
                f"{row['CPU ms']:.0f} ms, {row['MB read']:.0f} MB"
                for row in sorted(rows, key=lambda row: models.index(row["model"]))
                if row["function"] == function
            ),
        )
        for function in dict.fromkeys(row["function"] for row in rows)
    ]
    insert(ROOT / "README.md", "bench-cold", markdown(("function", *models), table))


if __name__ == "__main__":
    main()
