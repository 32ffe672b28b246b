"""NNCF's post-training quantisation for ONNX, for the CPU, with the model type where it asks for one."""

import nncf
import onnx

from benchmarks.samples import read_set
from benchmarks.tools import Task


def main() -> None:
    """Quantise."""
    task = Task.from_arguments()
    quantised = nncf.quantize(
        onnx.load(task.model),
        nncf.Dataset(list(read_set(task.calibration))),
        model_type=nncf.ModelType.TRANSFORMER if task.about["transformer"] else None,
        target_device=nncf.TargetDevice.CPU,
    )
    onnx.save(quantised, task.target)


if __name__ == "__main__":
    main()
