"""NNCF's quantisation with accuracy control: layers are given back until the metric is within the bound.

It is given the evaluation set to validate on, and the same metric as `optimize`.
"""

from collections.abc import Iterable
from typing import Any

import nncf
import onnx
import onnxruntime as ort

from benchmarks.samples import read_set
from benchmarks.tools import Task
from optimizer.metrics import find_metric


def main() -> None:
    """Quantise."""
    task = Task.from_arguments()
    metric = find_metric(task.about["metric"])
    original = ort.InferenceSession(task.model)
    names = (
        [task.about["output"]] if task.about["output"] else [output.name for output in original.get_outputs()]
    )
    samples = list(read_set(task.evaluation))

    def outputs(run: Any, feeds: dict[str, Any]) -> dict[str, Any]:
        return dict(zip(names, run(names, feeds), strict=True))

    truths = {id(feeds): metric.truth(outputs(original.run, feeds)) for feeds in samples}

    def validate(model: onnx.ModelProto, feeds: Iterable[dict[str, Any]]) -> tuple[float, None]:
        session = ort.InferenceSession(model.SerializeToString())
        rows = [metric.row(outputs(session.run, one), truths[id(one)]) for one in feeds]
        return 1 + metric.value(rows), None  # not 0, by which it divides

    quantised = nncf.quantize_with_accuracy_control(
        onnx.load(task.model),
        calibration_dataset=nncf.Dataset(list(read_set(task.calibration))),
        validation_dataset=nncf.Dataset(samples),
        validation_fn=validate,
        max_drop=task.about["bound"],
        model_type=nncf.ModelType.TRANSFORMER if task.about["transformer"] else None,
        target_device=nncf.TargetDevice.CPU,
    )
    onnx.save(quantised, task.target)


if __name__ == "__main__":
    main()
