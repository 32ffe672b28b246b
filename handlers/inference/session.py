"""The ONNX Runtime session over the file that the manifest names."""

from pathlib import Path

import onnxruntime

from handlers.inference.errors import InitError

_ERROR = 3
# onnxruntime 1.32, onnxruntime_session_options_config_keys.h. Map the file, run on the mapped pages, and
# leave the weights where they are: nothing is copied, and untouched pages are never read.
_MAPPED = (
    "session.use_memory_mapped_ort_model",
    "session.use_ort_model_bytes_directly",
    "session.use_ort_model_bytes_for_initializers",
)


def open_session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """Open ``model.ort`` mapped and as it was optimised, or ``model.onnx`` optimised for this CPU.

    Raises:
        InitError: ONNX Runtime does not take the file.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERROR
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    if path.suffix == ".ort":
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        for key in _MAPPED:
            options.add_session_config_entry(key, "1")
    else:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - ONNX Runtime's errors have no common base but Exception
        first_line = str(error).partition("\n")[0]
        raise InitError(
            f"onnxruntime {onnxruntime.__version__} cannot load {path.name} ({first_line}): make the bundle "
            "with this release's `optimize`."
        ) from None
