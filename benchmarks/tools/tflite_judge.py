"""Accuracy, time and size of TFLite and ONNX files, in one process and in turns.

Times are from a picture in a numpy array to answers in another, by the quickest public way of each runtime's
Python package: LiteRT's set_tensor, invoke and get_tensor; ONNX Runtime's run_with_iobinding, with a copy
into what is bound and one out of it. Of ONNX files also by InferenceSession.run, and as the endpoint runs
them, by handlers/inference/ort.py.

Usage: python -m benchmarks.tools.tflite_judge REPORT.npz FILES.json (prints a JSON object by file)
"""

import gzip
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from benchmarks.samples import Array
from handlers.inference.session import open_session
from handlers.inference.tensor import Tensor
from optimizer.runtime import serving_session

_ROUNDS, _RUNS = 60, 30
Run = Callable[[Array], Array]


def main(report: Path, files: list[Path]) -> dict[str, dict[str, float]]:
    """The figures of each file, by its path."""
    with np.load(report, allow_pickle=False) as arrays:  # noqa: TID251 - cannot unpickle; tools lack bundle/
        images, labels = arrays["image"], arrays["labels"]
    runs = {
        (file, way): run
        for file in files
        for way, run in (
            {"us": _tflite(file)} if file.suffix == ".tflite" else _onnx(file, images[:1])
        ).items()
    }
    times = _times(list(runs.values()), images[:1])
    found: dict[str, dict[str, float]] = {str(file): _of_file(file) for file in files}
    for ((file, way), run), seconds in zip(runs.items(), times, strict=True):
        found[str(file)][way] = 1e6 * seconds
        if way == "us":
            right = [run(image[None]).argmax() for image in images] == labels
            found[str(file)]["accuracy"] = float(np.mean(right))
    return found


def _of_file(file: Path) -> dict[str, float]:
    data = file.read_bytes()
    return {"KB": len(data) / 1e3, "gzip KB": len(gzip.compress(data, 9, mtime=0)) / 1e3}


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


def _onnx(file: Path, image: Array) -> Mapping[str, Run]:
    session = serving_session(file)
    (given,), (answer,) = session.get_inputs(), session.get_outputs()
    bound = np.zeros_like(image), np.array(session.run(None, {given.name: image})[0])
    binding = session.io_binding()
    binding.bind_cpu_input(given.name, bound[0])
    binding.bind_ortvalue_output(answer.name, ort.OrtValue.ortvalue_from_numpy(bound[1]))
    served = open_session(str(file), threads=1)

    def bound_run(image: Array) -> Array:
        np.copyto(bound[0], image)
        session.run_with_iobinding(binding)
        return bound[1].copy()

    def served_run(image: Array) -> Array:
        (tensor,) = served.run([answer.name], {given.name: Tensor("float32", image.shape, image.data)})
        return np.frombuffer(tensor.data, np.float32)  # type: ignore[arg-type]

    return {
        "us": bound_run,
        "us by run": lambda image: np.asarray(session.run(None, {given.name: image})[0]),
        "us served": served_run,
    }


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
