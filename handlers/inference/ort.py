"""ONNX Runtime by its C API through ctypes: a session in a tenth of the CPU time of its Python package.

The package imports numpy and a second copy of the library; a cold start pays for both. Here are the library,
one environment for the process, sessions, and tensors in and out. Nothing is logged by ONNX Runtime, because
its log lines quote the client's data; what it has to say is in ``OrtError``.

The function table is ``struct OrtApi`` in include/onnxruntime/core/session/onnxruntime_c_api.h, numbered from
0 in the order of its members. That order is a promise: "Size of version N API cannot change" is asserted for
every release at the end of onnxruntime_c_api.cc, so members are only ever added at the end, and ``GetApi``
refuses a caller whose version it does not know.
"""

import ctypes
import os
import sys
from _thread import allocate_lock

from handlers.inference.tensor import ITEM_SIZES, Tensor

TYPE_CHECKING = False  # typing itself costs a cold start 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

    Function = Callable[..., int | None]
    Buffer = bytes | bytearray | memoryview

# ORT_API_VERSION of the header that the indices below were checked with: 1.32 has all of them, the youngest
# (GetTensorElementTypeAndShapeDataReference) came with 1.24.
_API_VERSION = 32
# enum OrtErrorCode
FAIL, INVALID_ARGUMENT, RUNTIME_EXCEPTION = 1, 2, 6
# enum OrtLoggingLevel
_FATAL = 4
# enum GraphOptimizationLevel
_DISABLE_ALL, _ENABLE_ALL = 0, 99
# enum OrtAllocatorType, enum OrtMemType
_DEVICE_ALLOCATOR, _DEFAULT_MEMORY = 0, 0
# enum ONNXType
_IS_TENSOR = 1
# enum ONNXTensorElementDataType
_DTYPES = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    8: "string",
    9: "bool",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
}
_ELEMENT_TYPES = {dtype: number for number, dtype in _DTYPES.items()}

_Word = ctypes.c_void_p
_WORD = ctypes.sizeof(_Word)
_PyBuffer = _Word * 10  # struct Py_buffer: ten words, of which buf is the first and len the third
_get_buffer = ctypes.pythonapi.PyObject_GetBuffer
_get_buffer.argtypes = [ctypes.py_object, _Word, ctypes.c_int]
_release_buffer = ctypes.pythonapi.PyBuffer_Release
_release_buffer.argtypes = [_Word]
_release_buffer.restype = None
# The strictest alignment that ONNX Runtime's own allocations of initialisers rely on in a flatbuffer.
_MODEL_ALIGNMENT = 16


class OrtError(Exception):
    """ONNX Runtime refuses.

    Attributes:
        code: one of ``enum OrtErrorCode``.
        message: its words, which may quote the client's data.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class LibraryError(Exception):
    """There is no ONNX Runtime library, or not one that this module knows; one sentence says what to do."""


class Session:
    """A loaded model.

    ``run`` may be called from several threads at once: ctypes lets go of the GIL.

    Attributes:
        inputs: dtype of each input by name, in the model's order.
        outputs: dtype of each output by name, in the model's order.
    """

    def __init__(
        self,
        model: "str | Buffer",
        *,
        threads: int = 1,
        is_optimised: bool = False,
        config: "Mapping[str, str] | None" = None,
    ) -> None:
        """Open an ONNX or ORT format model; bytes are kept for as long as the session lives.

        Args:
            model: the file's path, or its content (aligned to 16 bytes, or it is copied).
            threads: how many threads work on one run.
            is_optimised: run the graph as it is, because it was optimised before.
            config: entries of onnxruntime_session_options_config_keys.h.

        Raises:
            OrtError: ONNX Runtime does not take the model, or it has an input or output that is no tensor.
            LibraryError: see ``start``.
        """
        self._library = library = start()
        self._handle = _Word()
        self._model: _Pinned | None = None
        options = _Word()
        library.check(library.create_session_options(ctypes.byref(options)))
        try:
            library.check(library.set_intra_op_num_threads(options, threads))
            level = _DISABLE_ALL if is_optimised else _ENABLE_ALL
            library.check(library.set_session_graph_optimization_level(options, level))
            for key, value in (config or {}).items():
                library.check(library.add_session_config_entry(options, key.encode(), value.encode()))
            self._open(model, options)
        finally:
            library.release_session_options(options)
        self.inputs = self._dtypes(
            library.session_get_input_count,
            library.session_get_input_name,
            library.session_get_input_type_info,
        )
        self.outputs = self._dtypes(
            library.session_get_output_count,
            library.session_get_output_name,
            library.session_get_output_type_info,
        )
        self._input_names = _c_strings(self.inputs)

    def run(self, outputs: "Iterable[str]", inputs: "Mapping[str, Tensor]") -> list[Tensor]:
        """Compute ``outputs``, in their order; their data are copies that belong to the caller.

        Args:
            outputs: names of outputs.
            inputs: one tensor for each input; their data are read where they lie, or copied if not aligned.

        Raises:
            OrtError: ONNX Runtime refuses the tensors, or a node fails.
            ValueError: a name is unknown or missing, or data are not as long as dtype and shape say.
            TypeError: data are no buffer, or of ``string`` no list of bytes.
        """
        library, names = self._library, list(outputs)
        if self._handle.value is None:
            raise ValueError("the session is closed")
        if len(inputs) != len(self.inputs) or not self.inputs.keys() >= inputs.keys():
            raise ValueError(f"the model takes exactly the inputs {', '.join(self.inputs)}")
        if not self.outputs.keys() >= set(names):
            raise ValueError(f"the model gives only the outputs {', '.join(self.outputs)}")
        values, results, pinned = (_Word * len(inputs))(), (_Word * len(names))(), []
        try:
            for index, name in enumerate(self.inputs):
                pinned.append(_create_value(library, inputs[name], ctypes.byref(values, index * _WORD)))
            library.check(
                library.run(
                    self._handle,
                    None,
                    self._input_names,
                    values,
                    len(values),
                    _c_strings(names),
                    len(names),
                    results,
                )
            )
            return [_read_value(library, result) for result in results]
        finally:
            for value in (*values, *results):
                library.release_value(value)

    def close(self) -> None:
        """Release the model; no ``run`` may be under way."""
        handle, self._handle = self._handle, _Word()
        if handle:
            self._library.release_session(handle)
        self._model = None

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            self.close()

    def _open(self, model: "str | Buffer", options: ctypes.c_void_p) -> None:
        library, out = self._library, ctypes.byref(self._handle)
        if isinstance(model, str):
            path = os.fsencode(model)
            library.check(library.create_session(library.environment, path, options, out))
        else:
            self._model = data = _Pinned(model, _MODEL_ALIGNMENT)
            library.check(
                library.create_session_from_array(library.environment, data.address, data.size, options, out)
            )

    def _dtypes(self, count: "Function", get_name: "Function", get_type: "Function") -> dict[str, str]:
        library, number, dtypes = self._library, ctypes.c_size_t(), {}
        library.check(count(self._handle, ctypes.byref(number)))
        for index in range(number.value):
            word = _Word()
            library.check(get_name(self._handle, index, library.allocator, ctypes.byref(word)))
            name = ctypes.string_at(word.value or 0).decode()
            library.check(library.allocator_free(library.allocator, word))
            library.check(get_type(self._handle, index, ctypes.byref(word)))
            try:
                dtypes[name] = _dtype_of(library, word, name)
            finally:
                library.release_type_info(word)
        return dtypes


class Library:
    """The functions of the C API that are used here, its process-wide objects, and ``check``.

    On x86-64 and arm64 a pointer, a size and an enum all travel in one word each, so one prototype for each
    number of arguments serves all functions, at a hundredth of the set-up of exact ones.
    """

    def __init__(self, path: str) -> None:
        self.version, api = _find_api(path)
        # These take a microsecond and keep the GIL: to let go of it and take it again would cost as much.
        quick = {n: ctypes.PYFUNCTYPE(_Word, *[_Word] * n) for n in (1, 2, 3, 4, 5, 7)}
        # These may take long, and other threads go on meanwhile.
        slow = {n: ctypes.CFUNCTYPE(_Word, *[_Word] * n) for n in (1, 3, 4, 5, 8)}

        def function(index: int, prototype: "Callable[[int], Function]") -> "Function":
            return prototype(api[index] or 0)

        self.get_error_code = function(1, quick[1])
        self.get_error_message = function(2, quick[1])
        self.create_env = function(3, slow[3])
        self.create_session = function(7, slow[4])
        self.create_session_from_array = function(8, slow[5])
        self.run = function(9, slow[8])
        self.create_session_options = function(10, quick[1])
        self.set_session_graph_optimization_level = function(23, quick[2])
        self.set_intra_op_num_threads = function(24, quick[2])
        self.session_get_input_count = function(30, quick[2])
        self.session_get_output_count = function(31, quick[2])
        self.session_get_input_type_info = function(33, quick[3])
        self.session_get_output_type_info = function(34, quick[3])
        self.session_get_input_name = function(36, quick[4])
        self.session_get_output_name = function(37, quick[4])
        self.create_tensor_as_ort_value = function(48, quick[5])
        self.create_tensor_with_data_as_ort_value = function(49, quick[7])
        self.get_tensor_mutable_data = function(51, quick[2])
        self.fill_string_tensor = function(52, quick[3])
        self.get_string_tensor_data_length = function(53, quick[2])
        self.get_string_tensor_content = function(54, quick[5])
        self.cast_type_info_to_tensor_info = function(55, quick[2])
        self.get_onnx_type_from_type_info = function(56, quick[2])
        self.get_tensor_element_type = function(60, quick[2])
        self.create_cpu_memory_info = function(69, quick[3])
        self.allocator_free = function(76, quick[2])
        self.get_allocator_with_default_options = function(78, quick[1])
        self.release_status = function(93, quick[1])
        self.release_session = function(95, slow[1])
        self.release_value = function(96, quick[1])
        self.release_type_info = function(98, quick[1])
        self.release_session_options = function(100, quick[1])
        self.add_session_config_entry = function(130, quick[3])
        self.get_resized_string_tensor_element_buffer = function(252, quick[4])
        self.get_tensor_element_type_and_shape_data_reference = function(414, quick[4])

        # None of these is ever released: they are the process's.
        self.environment = _Word()
        self.check(self.create_env(_FATAL, b"coldpress", ctypes.byref(self.environment)))
        self.memory = _Word()
        self.check(self.create_cpu_memory_info(_DEVICE_ALLOCATOR, _DEFAULT_MEMORY, ctypes.byref(self.memory)))
        self.allocator = _Word()
        self.check(self.get_allocator_with_default_options(ctypes.byref(self.allocator)))

    def check(self, status: int | None) -> None:
        """Raise OrtError and release the status, if there is one."""
        if status:
            code = (self.get_error_code(status) or 0) & 0xFFFFFFFF
            message = ctypes.string_at(self.get_error_message(status) or 0).decode(errors="replace")
            self.release_status(status)
            raise OrtError(code, message)


_library: Library | None = None
_lock = allocate_lock()


def start(path: str | None = None) -> Library:
    """The library with its environment, loaded by the first call (20 ms), which others wait for.

    Args:
        path: the library's file; by default what ``COLDPRESS_ORT_LIBRARY`` names, or else the one in the
            installed onnxruntime package. Once the library is loaded it stays.

    Raises:
        LibraryError: there is no such file, or its version is not one that this module knows.
    """
    global _library  # noqa: PLW0603 - ONNX Runtime's environment is one for the process
    with _lock:
        if _library is None:
            _library = Library(path or os.environ.get("COLDPRESS_ORT_LIBRARY") or find_library())
        return _library


def find_library() -> str:
    """The library's path in the installed onnxruntime package, which is not imported.

    Raises:
        LibraryError: no package on ``sys.path`` has it.
    """
    for entry in sys.path:
        folder = os.path.join(entry or ".", "onnxruntime", "capi")  # noqa: PTH118 - pathlib costs 12 ms
        try:
            files = os.listdir(folder)  # noqa: PTH208
        except OSError:
            continue
        for file in files:
            if file.startswith("libonnxruntime."):
                return os.path.join(folder, file)  # noqa: PTH118
    raise LibraryError(
        "there is no libonnxruntime: install the package onnxruntime, or name the library's file in "
        "COLDPRESS_ORT_LIBRARY."
    )


def _find_api(path: str) -> "tuple[str, ctypes._Pointer[ctypes.c_void_p]]":
    """The version and ``struct OrtApi`` as an array of function pointers."""
    try:
        get_base = ctypes.CDLL(path).OrtGetApiBase
    except (OSError, AttributeError) as error:
        raise LibraryError(f"{path} is no ONNX Runtime library ({error}): name its file.") from None
    get_base.restype = ctypes.POINTER(_Word)
    # struct OrtApiBase { GetApi(uint32_t version); GetVersionString(); }
    get_api, get_version = get_base()[:2]
    version = ctypes.CFUNCTYPE(ctypes.c_char_p)(get_version)().decode()
    major, minor = version.split(".")[:2]
    # Asked first, because GetApi complains on stderr of a version that it does not know.
    if major != "1" or int(minor) < _API_VERSION:
        raise LibraryError(
            f"{path} is ONNX Runtime {version}, but 1.{_API_VERSION} or a later 1.x is needed: install that."
        )
    table = ctypes.CFUNCTYPE(_Word, _Word)(get_api)(_API_VERSION)
    if table is None:
        raise LibraryError(
            f"{path} (ONNX Runtime {version}) no longer offers version {_API_VERSION} of its C API: install "
            f"onnxruntime 1.{_API_VERSION}."
        )
    return version, ctypes.cast(table, ctypes.POINTER(_Word))


class _Pinned:
    """Where a buffer's bytes lie, for as long as this object lives.

    Attributes:
        address: of the first byte, a multiple of the alignment: what lies elsewhere is copied.
        size: how many bytes there are.
    """

    __slots__ = ("_view", "address", "size")

    def __init__(self, data: "Buffer", alignment: int) -> None:
        self._view = view = _PyBuffer()
        _get_buffer(data, view, 0)
        if (view[0] or 0) % alignment:
            copy = bytes(data)
            _release_buffer(view)
            _get_buffer(copy, view, 0)
        self.address = view[0]
        self.size = view[2] or 0

    def __del__(self) -> None:
        # Of a buffer that was never got this does nothing, and says so in the documentation.
        _release_buffer(self._view)


def _create_value(library: Library, tensor: Tensor, out: "Any") -> object:
    """Make an OrtValue of a tensor; what is returned must outlive it."""
    shape = tensor.shape
    dimensions = (ctypes.c_int64 * len(shape))(*shape)
    if tensor.dtype == "string":
        return _create_strings(library, tensor, dimensions, out)
    item_size = ITEM_SIZES.get(tensor.dtype)
    if item_size is None:
        raise ValueError(f"there are no tensors of {tensor.dtype}")
    if not isinstance(tensor.data, memoryview):
        raise TypeError("the data of a tensor must be a memoryview")
    data = _Pinned(tensor.data, item_size)
    if tensor.size * item_size != data.size:
        raise ValueError(f"{data.size} bytes are not a tensor of {tensor.dtype} {list(shape)}")
    library.check(
        library.create_tensor_with_data_as_ort_value(
            library.memory,
            data.address,
            data.size,
            dimensions,
            len(shape),
            _ELEMENT_TYPES[tensor.dtype],
            out,
        )
    )
    return data


def _create_strings(
    library: Library, tensor: Tensor, dimensions: "ctypes.Array[ctypes.c_int64]", out: "Any"
) -> object:
    texts = tensor.data
    if not isinstance(texts, list):
        raise TypeError("the data of a string tensor must be a list of bytes")
    if tensor.size != len(texts):
        raise ValueError(f"{len(texts)} strings are not a tensor of {list(tensor.shape)}")
    c_texts = (ctypes.c_char_p * len(texts))(*texts)
    library.check(
        library.create_tensor_as_ort_value(
            library.allocator, dimensions, len(dimensions), _ELEMENT_TYPES["string"], out
        )
    )
    value = ctypes.cast(out, ctypes.POINTER(_Word))[0]
    library.check(library.fill_string_tensor(value, c_texts, len(texts)))
    # A C string ends at its first NUL; text may have one anywhere.
    buffer = _Word()
    for index, text in enumerate(texts):
        if 0 in text:
            library.check(
                library.get_resized_string_tensor_element_buffer(
                    value, index, len(text), ctypes.byref(buffer)
                )
            )
            ctypes.memmove(buffer, text, len(text))
    return None


def _read_value(library: Library, value: int | None) -> Tensor:
    """Copy an OrtValue, so that neither ORT's arena nor the client's buffers are held by what is returned."""
    out = (_Word * 3)()
    address = ctypes.addressof(out)
    library.check(
        library.get_tensor_element_type_and_shape_data_reference(
            value, address, address + _WORD, address + 2 * _WORD
        )
    )
    rank = out[2] or 0
    shape: list[int] = (ctypes.c_int64 * rank).from_address(out[1] or 0)[:] if rank else []
    tensor = Tensor(_DTYPES[out[0] or 0], shape, [])
    if tensor.dtype == "string":
        tensor.data = _read_strings(library, value, tensor.size)
        return tensor
    library.check(library.get_tensor_mutable_data(value, address))
    size = tensor.size * ITEM_SIZES[tensor.dtype]
    tensor.data = memoryview(ctypes.string_at(out[0] or 0, size) if size else b"")
    return tensor


def _read_strings(library: Library, value: int | None, count: int) -> list[bytes]:
    length = ctypes.c_size_t()
    library.check(library.get_string_tensor_data_length(value, ctypes.byref(length)))
    text = ctypes.create_string_buffer(length.value)
    offsets = (ctypes.c_size_t * count)()
    library.check(library.get_string_tensor_content(value, text, length.value, offsets, count))
    ends = [*offsets[1:], length.value] if count else []
    content = text.raw
    return [content[start:end] for start, end in zip(offsets, ends, strict=True)]


def _c_strings(names: "Sequence[str] | Mapping[str, str]") -> "ctypes.Array[ctypes.c_char_p]":
    return (ctypes.c_char_p * len(names))(*[name.encode() for name in names])


def _dtype_of(library: Library, type_info: ctypes.c_void_p, name: str) -> str:
    number, info = ctypes.c_int(), _Word()
    library.check(library.get_onnx_type_from_type_info(type_info, ctypes.byref(number)))
    if number.value != _IS_TENSOR:
        raise OrtError(INVALID_ARGUMENT, f"'{name}' is a sequence, a map or an optional value, not a tensor")
    library.check(library.cast_type_info_to_tensor_info(type_info, ctypes.byref(info)))
    library.check(library.get_tensor_element_type(info, ctypes.byref(number)))
    if number.value not in _DTYPES:
        raise OrtError(INVALID_ARGUMENT, f"'{name}' is a tensor of elements that no protocol carries")
    return _DTYPES[number.value]
