"""NVIDIA ModelOpt's ONNX quantisation in int8 with its default calibration (entropy), on the CPU.

float32 is kept elsewhere: its default, fp16, is for GPUs.
"""

from modelopt.onnx.quantization import quantize
from onnxruntime.quantization import CalibrationDataReader

from benchmarks.samples import read_set
from benchmarks.tools import Task


class Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    """The calibration set, from the start again as often as it is asked."""

    def __init__(self, task: Task) -> None:
        self._folder = task.calibration
        self.rewind()

    def get_next(self) -> object:
        """The next sample."""
        return next(self._samples, None)

    def get_first(self) -> object:
        """A sample to look at."""
        return next(read_set(self._folder))

    def rewind(self) -> None:
        """Start again."""
        self._samples = read_set(self._folder)


def main() -> None:
    """Quantise."""
    task = Task.from_arguments()
    quantize(
        str(task.model),
        quantize_mode="int8",
        calibration_data_reader=Reader(task),
        calibration_eps=["cpu"],
        high_precision_dtype="fp32",
        output_path=str(task.target),
    )


if __name__ == "__main__":
    main()
