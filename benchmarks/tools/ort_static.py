"""ONNX Runtime's quantize_static in QDQ form after quant_pre_process.

S8S8 is what its documentation says to try first; U8S8 by channel is what it says for accuracy on x86. Where
it trips over fitting weights to a bias, that is switched off, by the option that it documents.
"""

import sys
from pathlib import Path
from typing import Any

from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from benchmarks.samples import read_set
from benchmarks.tools import Task


class Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    """The calibration set."""

    def __init__(self, folder: Path) -> None:
        self._samples = read_set(folder)

    def get_next(self) -> dict[str, Any] | None:
        """The next sample."""
        return next(self._samples, None)


def prepared(task: Task) -> Path:
    """The model after quant_pre_process; without symbolic shapes where these stop it, as its message says."""
    target = task.target.with_name("prepared.onnx")
    try:
        quant_pre_process(task.model, target)
    except Exception as error:  # noqa: BLE001 - it raises plain Exception
        print(f"quant_pre_process: {error}; again with skip_symbolic_shape", file=sys.stderr)
        quant_pre_process(task.model, target, skip_symbolic_shape=True)
    return target


def main() -> None:
    """Quantise."""
    task = Task.from_arguments()
    model = prepared(task)
    try:
        _quantize(task, model, {})
    except ValueError as error:
        print(f"{error}; again without adjusting weights for biases", file=sys.stderr)
        _quantize(task, model, {"QDQDisableWeightAdjustForInt32Bias": True})


def _quantize(task: Task, model: Path, options: dict[str, Any]) -> None:
    unsigned = task.variant == "u8s8"
    quantize_static(
        model,
        task.target,
        Reader(task.calibration),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8 if unsigned else QuantType.QInt8,
        weight_type=QuantType.QInt8,
        per_channel=unsigned,
        extra_options=options,
    )


if __name__ == "__main__":
    main()
