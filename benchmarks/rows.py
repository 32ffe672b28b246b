"""`python -m benchmarks.rows`: many rows of a request in one run, and in pieces as the handler runs them.

CPU time on one thread, in turn; the peak memory is that of a process that runs all rows three times.
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.models import CLS, MODELS, Case
from benchmarks.peers import raw_session
from benchmarks.pressed import pressed
from benchmarks.publish import insert, markdown, show, where, write
from benchmarks.samples import Array
from benchmarks.serve import DOCUMENT
from bundle.served import read_manifest
from handlers.inference.rows import piece_sizes
from handlers.inference.service import Service
from handlers.inference.tensor import Tensor

_MODELS = {model.name: model for model in (*MODELS, CLS)}
# The model, its bound, the length of its second axis where it varies, and the rows.
_SUBJECTS = (
    ("cls", 0.01, None, 8),
    ("cls", 0.01, None, 32),
    ("rec", 0.01, None, 8),
    ("rec", 0.01, None, 32),
    ("minilm", 0.005, 128, 8),
    ("minilm", 0.005, 128, 32),
    ("minilm", 0.005, 16, 32),
    ("minilm", 0.005, 16, 128),
    ("magika", 0.01, None, 8),
    ("magika", 0.01, None, 32),
    ("tabular", 0.01, None, 32),
    ("tabular", 0.01, None, 128),
)
_SIZES = (1, 2, 4, 8, 16, 32)
_COLUMNS = (
    "model",
    "row",
    "rows",
    "one run ms",
    *(f"of {size}" for size in _SIZES),
    "chosen",
    "MB in one run",
    "MB in pieces",
)


def main() -> None:
    """Print the table, and write results/rows.json and docs/serve.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10, help="for each line")
    parser.add_argument("--peak", nargs=2, metavar=("LINE", "HOW"), help="peak MB of one line: one or pieces")
    options = parser.parse_args()
    if options.peak:
        line, how = options.peak
        sys.stdout.write(f"{_peak(int(line), in_pieces=how == 'pieces')}\n")
        return
    rows = [_row(line, options.seconds) for line in range(len(_SUBJECTS))]
    show("rows", rows, _COLUMNS)
    content = write("rows", rows, {})
    cells = ([row[column] for column in _COLUMNS] for row in rows)
    insert(DOCUMENT, "bench-rows", f"{markdown(_COLUMNS, cells)}\n\n{where(content)}")


def _row(line: int, seconds: float) -> dict[str, Any]:
    bundle, inputs = _subject(line)
    count = _SUBJECTS[line][3]
    print(f"{_SUBJECTS[line]}", file=sys.stderr)
    session = raw_session(bundle / read_manifest((bundle / "manifest.json").read_bytes()).serve)

    def in_pieces_of(size: int) -> Callable[[], None]:
        parts = [
            {name: array[start : start + size] for name, array in inputs.items()}
            for start in range(0, count, size)
        ]
        return lambda: [session.run(None, part) for part in parts] and None

    ways = {size: in_pieces_of(size) for size in (*(size for size in _SIZES if size < count), count)}
    times: dict[int, list[float]] = {size: [] for size in ways}
    end = time.monotonic() + seconds
    while time.monotonic() < end or len(times[count]) < 4:
        for size, run in ways.items():
            start = time.thread_time()
            run()
            times[size].append(time.thread_time() - start)
    medians = {size: statistics.median(values[1:]) for size, values in times.items()}
    sizes = piece_sizes({name: Tensor.of(array) for name, array in inputs.items()})
    first = next(iter(inputs.values()))
    values = (
        _MODELS[_SUBJECTS[line][0]].title,
        str(list(first.shape[1:])),
        count,
        medians[count] * 1e3,
        *(medians[size] / medians[count] if size in medians else None for size in _SIZES),
        sizes[0],
        *(_measured_peak(line, how) for how in ("one", "pieces")),
    )
    return dict(zip(_COLUMNS, values, strict=True))


def _subject(line: int) -> tuple[Path, Mapping[str, Array]]:
    name, bound, length, rows = _SUBJECTS[line]
    bundle, sample = pressed(_MODELS[name], Case(bound, target="x86_64"))
    if length is not None:
        sample = {name: np.resize(array, (1, length)) for name, array in sample.items()}
    return bundle, {name: np.repeat(array[:1], rows, 0) for name, array in sample.items()}


def _measured_peak(line: int, how: str) -> float:
    command = [sys.executable, "-m", "benchmarks.rows", "--peak", str(line), how]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _peak(line: int, *, in_pieces: bool) -> float:
    bundle, inputs = _subject(line)
    model = Service.from_folder(bundle).model
    if not in_pieces:
        model._in_pieces = False
    tensors = {name: Tensor.of(array) for name, array in inputs.items()}
    for _ in range(3):
        model.infer(tensors)
    # Not ru_maxrss, which a process has from the one that started it.
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


if __name__ == "__main__":
    main()
