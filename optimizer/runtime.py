"""ONNX Runtime sessions: as a server would load a bundle's model, and as the optimiser runs models."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidGraph

Array = npt.NDArray[Any]
Feeds = Mapping[str, Array]

# Where models in memory refer to their external tensors from (external.py).
ROOT = "/"

# The only optimiser whose result depends on the CPU that it runs on: blocks of 8 for AVX2, 16 for AVX-512.
_CPU_SPECIFIC = ("NchwcTransformer",)
_FATAL = 4

_WEIGHTS_IN_PLACE = "session.use_ort_model_bytes_for_initializers"
# In what ONNX Runtime 1.32 says of an ``.ort`` whose nodes have tensors as attributes, as TreeEnsemble has:
# these it cannot leave where they are, but looks for a file of this name.
_OUT_OF_PLACE = "_ORT_MEM_ADDR_"


def quiet_options(level: ort.GraphOptimizationLevel | None = None) -> ort.SessionOptions:
    """Options for a session of one thread that writes nothing to stderr (every error is raised anyway)."""
    ort.set_default_logger_severity(_FATAL)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL
    options.graph_optimization_level = level or ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", ROOT)
    return options


def serving_session(path: Path) -> ort.InferenceSession:
    """Load a bundle's ``model.ort`` or ``model.onnx`` as the endpoint does, on one thread.

    A ``.ort`` is mapped and not optimised again; an ``.onnx`` is optimised for this CPU while it is loaded.
    """
    if path.suffix != ".ort":
        return ort.InferenceSession(path, quiet_options(ort.GraphOptimizationLevel.ORT_ENABLE_ALL))
    options = quiet_options()
    for key in (
        "session.use_memory_mapped_ort_model",
        "session.use_ort_model_bytes_directly",
        _WEIGHTS_IN_PLACE,
    ):
        options.add_session_config_entry(key, "1")
    try:
        return ort.InferenceSession(path, options)
    except InvalidGraph as error:
        if _OUT_OF_PLACE not in str(error):
            raise
        options.add_session_config_entry(_WEIGHTS_IN_PLACE, "0")
        return ort.InferenceSession(path, options)


def optimised_session(model: bytes) -> ort.InferenceSession:
    """A session of one thread over an ``.onnx`` in memory, fully optimised; threads may share it."""
    return ort.InferenceSession(model, quiet_options(ort.GraphOptimizationLevel.ORT_ENABLE_ALL))


def ort_format(model: bytes, without: Sequence[str] = ()) -> bytes:
    """The model optimised and in ORT format, portable between CPUs of one architecture.

    ``without`` names further graph optimisers of ONNX Runtime to leave out. ONNX Runtime can save to a path
    only, and does not report a full disk: so it is given a file in memory.
    """
    handle = os.memfd_create("model.ort")
    try:
        options = quiet_options(ort.GraphOptimizationLevel.ORT_ENABLE_ALL)
        options.optimized_model_filepath = f"/proc/self/fd/{handle}"
        options.add_session_config_entry("session.save_model_format", "ORT")
        ort.InferenceSession(model, options, disabled_optimizers=[*_CPU_SPECIFIC, *without])
        os.lseek(handle, 0, os.SEEK_SET)
        with os.fdopen(os.dup(handle), "rb") as file:
            return file.read()
    finally:
        os.close(handle)


def run(session: ort.InferenceSession, feeds: Feeds, outputs: Sequence[str]) -> dict[str, Array]:
    """The named outputs for one sample."""
    return dict(zip(outputs, map(np.asarray, session.run(list(outputs), dict(feeds))), strict=True))
