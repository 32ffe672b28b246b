"""AMD Quark's ONNX quantisation with one of its named configurations.

A8W8 is the one that its documentation starts with; U8S8_AAWS has the types that CPUs multiply fastest. Where
its refinement of Concat trips over a graph, that is switched off, by the option that it documents.
"""

import sys
from typing import Any

from onnxruntime.quantization import CalibrationDataReader
from quark.onnx import ModelQuantizer
from quark.onnx.quantization.config import Config, get_default_config

from benchmarks.samples import read_set
from benchmarks.tools import Task


class Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    """The calibration set, from the start again as often as it is asked."""

    def __init__(self, task: Task) -> None:
        self._folder = task.calibration
        self.reset_iter()

    def get_next(self) -> object:
        """The next sample."""
        return next(self._samples, None)

    def reset_iter(self) -> None:
        """Start again."""
        self._samples = read_set(self._folder)


def main() -> None:
    """Quantise."""
    task = Task.from_arguments()
    config = get_default_config(task.variant)
    try:
        _quantize(task, config)
    except AssertionError:
        print("AssertionError; again without AlignConcat", file=sys.stderr)
        config.extra_options["AlignConcat"] = False
        _quantize(task, config)


def _quantize(task: Task, config: Any) -> None:
    quantizer = ModelQuantizer(Config(global_quant_config=config))
    quantizer.quantize_model(str(task.model), str(task.target), Reader(task))


if __name__ == "__main__":
    main()
