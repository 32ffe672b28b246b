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

_TOO_LONG = 2**63  # for an axis, which is an int64
_Word = ctypes.c_void_p
_WORD = ctypes.sizeof(_Word)
_BUFFER = 10  # struct Py_buffer has so many words, of which buf is the first and len the third
_get_buffer = ctypes.pythonapi.PyObject_GetBuffer
_get_buffer.argtypes = [ctypes.py_object, _Word, ctypes.c_int]
_release_buffer = ctypes.pythonapi.PyBuffer_Release
_release_buffer.argtypes = [_Word]
_release_buffer.restype = None
# An ORT format model is a flatbuffer, whose vectors are aligned to at most so many bytes from its start.
_MODEL_ALIGNMENT = 16
_IN_PLACE = "session.use_ort_model_bytes_directly"


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
        is_terminated: whether ``terminate`` was called, and ``resume`` was not since.
    """

    def __init__(
        self,
        model: "str | Buffer",
        *,
        threads: int = 1,
        is_optimised: bool = False,
        config: "Mapping[str, str] | None" = None,
    ) -> None:
        """Open an ONNX or ORT format model.

        Args:
            model: the file's path, or its content, which the session keeps if ``config`` says that it uses it
                in place; if it does not begin at a multiple of 16 it is copied.
            threads: how many threads work on one run.
            is_optimised: run the graph as it is, because it was optimised before.
            config: entries of onnxruntime_session_options_config_keys.h.

        Raises:
            OrtError: ONNX Runtime does not take the model, or it has an input or output that is no tensor.
            LibraryError: see ``start``.
        """
        self._library = library = start()
        self._handle, self._options = _Word(), _Word()
        self._model = (_Word * _BUFFER)()
        options = _Word()
        library.check(library.create_session_options(ctypes.byref(options)))
        try:
            library.check(library.set_intra_op_num_threads(options, threads))
            level = _DISABLE_ALL if is_optimised else _ENABLE_ALL
            library.check(library.set_session_graph_optimization_level(options, level))
            for key, value in (config or {}).items():
                library.check(library.add_session_config_entry(options, key.encode(), value.encode()))
            self._open(model, options)
            if _IN_PLACE not in (config or {}):
                _release_buffer(self._model)
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
        self._all_outputs = tuple(self.outputs)
        self._output_names = _c_strings(self.outputs)
        self._calls: list[_Call] = []
        library.check(library.create_run_options(ctypes.byref(self._options)))
        self.is_terminated = False

    def run(self, outputs: "Iterable[str]", inputs: "Mapping[str, Tensor]") -> list[Tensor]:
        """Compute ``outputs``, in their order; their data are copies that belong to the caller.

        Args:
            outputs: names of outputs.
            inputs: one tensor for each input; their data are read where they lie, or copied if not aligned.

        Raises:
            OrtError: ONNX Runtime refuses the tensors, a node fails, or the session is terminated.
            ValueError: a name is unknown or missing, or data are not as long as dtype and shape say.
            TypeError, BufferError: data are no contiguous buffer, or of ``string`` no list of bytes.
            KeyError: no tensor has that dtype.
        """
        names = tuple(outputs)
        if self._handle.value is None:
            raise ValueError("the session is closed")
        if len(inputs) != len(self.inputs) or not inputs.keys() <= self.inputs.keys():
            raise ValueError(f"the model takes exactly the inputs {', '.join(self.inputs)}")
        if names == self._all_outputs:
            output_names = self._output_names
        elif len(self.outputs.keys() & names) == len(names):
            output_names = _c_strings(names)
        else:
            raise ValueError(f"the model gives only the outputs {', '.join(self.outputs)}, each once")
        try:
            call = self._calls.pop()
        except IndexError:
            call = _Call(self._library, len(self.inputs), len(self.outputs))
        try:
            for index, name in enumerate(self.inputs):
                call.write(index, inputs[name])
            status = self._library.run(
                self._handle,
                self._options,
                self._input_names,
                call.values,
                len(inputs),
                output_names,
                len(names),
                call.results,
            )
            if status:
                self._library.check(status)
            return [call.read(index) for index in range(len(names))]
        finally:
            call.clear()
            self._calls.append(call)

    def terminate(self) -> None:
        """From another thread: let every ``run`` fail, those under way before their next node."""
        self.is_terminated = True
        self._library.check(self._library.run_options_set_terminate(self._options))

    def resume(self) -> None:
        """Let runs succeed again."""
        self._library.check(self._library.run_options_unset_terminate(self._options))
        self.is_terminated = False

    def close(self) -> None:
        """Release the model; no ``run`` may be under way."""
        handle, self._handle.value = self._handle.value, None
        if handle:
            self._library.release_session(handle)
        options, self._options.value = self._options.value, None
        if options:
            self._library.release_run_options(options)
        _release_buffer(self._model)

    def __del__(self) -> None:
        if hasattr(self, "_model"):
            self.close()

    def _open(self, model: "str | Buffer", options: ctypes.c_void_p) -> None:
        library, out = self._library, ctypes.byref(self._handle)
        if isinstance(model, str):
            path = os.fsencode(model)
            library.check(library.create_session(library.environment, path, options, out))
        else:
            address, size = _pin(model, _MODEL_ALIGNMENT, self._model)
            library.check(library.create_session_from_array(library.environment, address, size, options, out))

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
        # These are short and keep the GIL: among busy threads, to let go of it is to queue for it again.
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
        self.create_run_options = function(39, quick[1])
        self.run_options_set_terminate = function(46, quick[1])
        self.run_options_unset_terminate = function(47, quick[1])
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
        self.release_run_options = function(97, quick[1])
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


def start() -> Library:
    """The library with its environment, loaded by the first call (17 ms of CPU), which others wait for.

    Raises:
        LibraryError: there is no library, or its version is not one that this module knows.
    """
    global _library  # noqa: PLW0603 - ONNX Runtime's environment is one for the process
    with _lock:
        if _library is None:
            # Else the library reports to Microsoft from a thread of its own, and keeps an identifier in /tmp.
            os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
            _library = Library(find_library())
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
    raise LibraryError("there is no libonnxruntime: install the package onnxruntime.")


def _find_api(path: str) -> "tuple[str, ctypes._Pointer[ctypes.c_void_p]]":
    """The version and ``struct OrtApi`` as an array of function pointers."""
    try:
        get_base = ctypes.CDLL(path).OrtGetApiBase
    except (OSError, AttributeError) as error:
        raise LibraryError(
            f"{path} is no ONNX Runtime library ({error}): install the package onnxruntime again."
        ) from None
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


class _Call:
    """The C arrays of one run and what they own; kept for the next run, because to make them takes as long.

    Attributes:
        values: address of the inputs' OrtValue pointers.
        results: address of the outputs' OrtValue pointers.
    """

    __slots__ = ("_buffers", "_inputs", "_library", "_out", "_outputs", "_words", "results", "values")

    def __init__(self, library: Library, inputs: int, outputs: int) -> None:
        self._library, self._inputs, self._outputs = library, inputs, outputs
        # Of each input an OrtValue, of each output an OrtValue, three words for what functions give, and of
        # each input the Py_buffer that holds its bytes.
        self._words = (_Word * (inputs + outputs + 3 + inputs * _BUFFER))()
        self.values = ctypes.addressof(self._words)
        self.results = self.values + inputs * _WORD
        self._out = inputs + outputs
        self._buffers = self._out + 3

    def write(self, index: int, tensor: Tensor) -> None:
        """Make a tensor the input ``index``."""
        shape, dtype = tensor.shape, tensor.dtype
        dimensions = (ctypes.c_int64 * len(shape))(*shape)
        if dtype == "string":
            self._write_strings(index, tensor, dimensions)
            return
        size = ITEM_SIZES[dtype]
        address, length = _pin(tensor.data, size, self._words, self._buffers + index * _BUFFER)
        for axis in shape:
            size *= axis
        # ctypes would cut an axis of 2**64 to 0 without a word, which only a tensor of no bytes can have.
        if size != length or (size == 0 and max(shape) >= _TOO_LONG):
            raise ValueError(f"{length} bytes are not a tensor of {dtype} {list(shape)}")
        library = self._library
        status = library.create_tensor_with_data_as_ort_value(
            library.memory,
            address,
            length,
            dimensions,
            len(shape),
            _ELEMENT_TYPES[dtype],
            self.values + index * _WORD,
        )
        if status:
            library.check(status)

    def read(self, index: int) -> Tensor:
        """The output ``index`` as a copy, which holds neither ORT's arena nor the client's buffers."""
        library, words, out = self._library, self._words, self._out
        value, address = words[self._inputs + index], self.values + out * _WORD
        status = library.get_tensor_element_type_and_shape_data_reference(
            value, address, address + _WORD, address + 2 * _WORD
        )
        if status:
            library.check(status)
        rank = words[out + 2]
        shape: list[int] = (ctypes.c_int64 * rank).from_address(words[out + 1] or 0)[:] if rank else []
        # An enum is half a word, whose other half is what the last run left there.
        dtype = _DTYPES[(words[out] or 0) & 0xFFFFFFFF]
        if dtype == "string":
            count = 1
            for axis in shape:
                count *= axis
            return Tensor(dtype, shape, _read_strings(library, value, count) if count else [])
        size = ITEM_SIZES[dtype]
        for axis in shape:
            size *= axis
        status = library.get_tensor_mutable_data(value, address)
        if status:
            library.check(status)
        return Tensor(dtype, shape, memoryview(ctypes.string_at(words[out] or 0, size) if size else b""))

    def clear(self) -> None:
        """Release what the run made and held."""
        words, release = self._words, self._library.release_value
        for index in range(self._inputs + self._outputs):
            value = words[index]
            if value:
                words[index] = None
                release(value)
        for index in range(self._inputs):
            _release_buffer(self.values + (self._buffers + index * _BUFFER) * _WORD)

    def _write_strings(self, index: int, tensor: Tensor, dimensions: "ctypes.Array[ctypes.c_int64]") -> None:
        library, texts = self._library, tensor.data
        if not isinstance(texts, list):
            raise TypeError("the data of a string tensor must be a list of bytes")
        if tensor.size != len(texts) or (not texts and max(tensor.shape) >= _TOO_LONG):
            raise ValueError(f"{len(texts)} strings are not a tensor of {list(tensor.shape)}")
        # Refuses what is not bytes, where ctypes would take None and any number for an address.
        has_nul = 0 in b"".join(texts)
        c_texts = (ctypes.c_char_p * len(texts))(*texts)
        library.check(
            library.create_tensor_as_ort_value(
                library.allocator,
                dimensions,
                len(dimensions),
                _ELEMENT_TYPES["string"],
                self.values + index * _WORD,
            )
        )
        value = self._words[index]
        library.check(library.fill_string_tensor(value, c_texts, len(texts)))
        if has_nul:
            self._write_again(value, texts)

    def _write_again(self, value: int | None, texts: list[bytes]) -> None:
        """Write those that have a NUL, at which a C string ends; text may have one anywhere."""
        library, buffer = self._library, _Word()
        for index, text in enumerate(texts):
            if 0 in text:
                library.check(
                    library.get_resized_string_tensor_element_buffer(
                        value, index, len(text), ctypes.byref(buffer)
                    )
                )
                ctypes.memmove(buffer, text, len(text))


def _read_strings(library: Library, value: int | None, count: int) -> list[bytes]:
    length = ctypes.c_size_t()
    library.check(library.get_string_tensor_data_length(value, ctypes.byref(length)))
    text = ctypes.create_string_buffer(length.value)
    offsets = (ctypes.c_size_t * count)()
    library.check(library.get_string_tensor_content(value, text, length.value, offsets, count))
    content = text.raw
    return [content[start:end] for start, end in zip(offsets, [*offsets[1:], length.value], strict=True)]


def _pin(
    data: "Any", alignment: int, words: "ctypes.Array[ctypes.c_void_p]", position: int = 0
) -> tuple[int, int]:
    """Hold a buffer fast by the Py_buffer at ``position``, or a copy of it where it is not aligned.

    Returns:
        Address and number of its bytes.
    """
    view = ctypes.addressof(words) + position * _WORD
    _get_buffer(data, view, 0)
    address = words[position] or 0
    if address % alignment:
        copy = bytes(data)
        _release_buffer(view)
        _get_buffer(copy, view, 0)
        address = words[position] or 0
    return address, words[position + 2] or 0


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
