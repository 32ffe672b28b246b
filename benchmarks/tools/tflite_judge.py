"""Accuracy, time and size of TFLite and ONNX files, in one process and in turns.

Usage: python -m benchmarks.tools.tflite_judge REPORT.npz FILES.json (prints a JSON object by file)
"""

import gzip
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.samples import Array
from optimizer.runtime import serving_session

_ROUNDS, _RUNS = 60, 30
Run = Callable[[Array], Array]


def main(report: Path, files: list[Path]) -> dict[str, dict[str, float]]:
    """The figures of each file, by its path."""
    with np.load(report, allow_pickle=False) as arrays:  # noqa: TID251 - cannot unpickle; tools lack bundle/
        images, labels = arrays["image"], arrays["labels"]
    runs = {file: _tflite(file) if file.suffix == ".tflite" else _onnx(file) for file in files}
    times = _times(list(runs.values()), images[:1])
    return {
        str(file): {
            "accuracy": float(np.mean([run(image[None]).argmax() for image in images] == labels)),
            "us": 1e6 * seconds,
            "KB": file.stat().st_size / 1e3,
            "gzip KB": len(gzip.compress(file.read_bytes(), 9, mtime=0)) / 1e3,
        }
        for (file, run), seconds in zip(runs.items(), times, strict=True)
    }


def _tflite(file: Path) -> Run:
    from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415 - of another environment

    interpreter: Any = Interpreter(str(file), num_threads=1)
    interpreter.allocate_tensors()
    (given,), (answer,) = interpreter.get_input_details(), interpreter.get_output_details()

    def run(image: Array) -> Array:
        interpreter.set_tensor(given["index"], image)
        interpreter.invoke()
        return np.asarray(interpreter.get_tensor(answer["index"]))

    return run


def _onnx(file: Path) -> Run:
    session = serving_session(file)
    name = session.get_inputs()[0].name
    return lambda image: np.asarray(session.run(None, {name: image})[0])


def _times(runs: list[Run], image: Array) -> list[float]:
    """CPU seconds of a run on the calling thread: medians over rounds, each in another order."""
    rounds = []
    for number in range(_ROUNDS):
        turn = number % len(runs)
        took = {}
        for index in [*range(turn, len(runs)), *range(turn)]:
            runs[index](image)
            start = time.thread_time()
            for _ in range(_RUNS):
                runs[index](image)
            took[index] = (time.thread_time() - start) / _RUNS
        rounds.append([took[index] for index in range(len(runs))])
    return [statistics.median(column) for column in zip(*rounds, strict=True)]


if __name__ == "__main__":
    paths = [Path(file) for file in json.loads(Path(sys.argv[2]).read_text())]
    print(json.dumps(main(Path(sys.argv[1]), paths)))
