"""The ONNX Runtime session over the file, or the bytes, that the manifest names."""

from handlers.inference.errors import InitError
from handlers.inference.ort import LibraryError, OrtError, Session, start

TYPE_CHECKING = False  # typing itself costs a cold start 3 ms
if TYPE_CHECKING:
    from handlers.inference.ort import Buffer

# onnxruntime 1.32, onnxruntime_session_options_config_keys.h. Run on the bytes where they are, and leave the
# weights there: nothing is copied.
_IN_PLACE = {"session.use_ort_model_bytes_directly": "1"}
_WEIGHTS_TOO = {"session.use_ort_model_bytes_for_initializers": "1"}
# In what it says where nodes have tensors as attributes, as TreeEnsemble has: these it cannot leave where
# they are, but looks for a file of this name.
_OUT_OF_PLACE = "_ORT_MEM_ADDR_"
# Map the file: pages that are never touched are never read.
_MAPPED = {"session.use_memory_mapped_ort_model": "1"}


def open_session(path: str, threads: int, data: "Buffer | None" = None) -> Session:
    """Open ``model.ort`` in place and as it was optimised, or ``model.onnx`` optimised for this CPU.

    Args:
        path: the file; its ending says what it is.
        threads: how many threads work on one run.
        data: the file's content where it was fetched; the session keeps it alive. Else the file is mapped.

    Raises:
        InitError: ONNX Runtime does not take the file.
    """
    file = path.rpartition("/")[2]
    try:
        version = start().version
    except LibraryError as error:
        raise InitError(str(error)) from None
    model = path if data is None else data
    try:
        if not file.endswith(".ort"):
            return Session(model, threads=threads)
        config = _IN_PLACE if data is not None else _IN_PLACE | _MAPPED
        try:
            return Session(model, threads=threads, is_optimised=True, config=config | _WEIGHTS_TOO)
        except OrtError as error:
            if _OUT_OF_PLACE not in error.message:
                raise
            return Session(model, threads=threads, is_optimised=True, config=config)
    except OrtError as error:
        first_line = error.message.partition("\n")[0]
        raise InitError(
            f"onnxruntime {version} cannot load {file} ({first_line}): make the bundle with this release's "
            "`optimize`."
        ) from None
