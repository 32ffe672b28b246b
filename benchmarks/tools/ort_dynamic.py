"""ONNX Runtime's quantize_dynamic after quant_pre_process, which its documentation asks for.

Where its message says to name a default type, it is named.
"""

import sys

from onnx import TensorProto
from onnxruntime.quantization import QuantType, quantize_dynamic

from benchmarks.tools import Task
from benchmarks.tools.ort_static import prepared


def main() -> None:
    """Quantise."""
    task = Task.from_arguments()
    model = prepared(task)
    asked = {"weight_type": QuantType.QInt8, "per_channel": task.variant == "per-channel"}
    try:
        quantize_dynamic(model, task.target, **asked)
    except RuntimeError as error:
        if "DefaultTensorType" not in str(error):
            raise
        print(f"{error}; again with DefaultTensorType", file=sys.stderr)
        quantize_dynamic(model, task.target, extra_options={"DefaultTensorType": TensorProto.FLOAT}, **asked)


if __name__ == "__main__":
    main()
