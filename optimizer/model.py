"""The trained model: read, checked, made self-contained, its signature taken."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnxruntime as ort
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from bundle.errors import InvalidBundle
from bundle.external_data import has_external_data
from bundle.manifest import Signature, Source, TensorSpec
from optimizer.errors import InputError, first_line
from optimizer.external import MAX_BYTES, external_files, refer_from_root, taken_in
from optimizer.runtime import optimised_session

_PIECE = 1024**2
_DTYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    "tensor(bool)": "bool",
    "tensor(string)": "string",
    **{f"tensor({sign}int{bits})": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}


@dataclass(frozen=True)
class Model:
    """A trained model, and what the manifest says of it.

    All tensors are inside its bytes, unless it ``is_large``: then no bundle can hold it as it is.
    """

    data: bytes
    is_large: bool
    source: Source
    signature: Signature
    session: ort.InferenceSession

    @property
    def outputs(self) -> list[str]:
        """Names of the outputs that are tensors."""
        return [spec.name for spec in self.signature.outputs]


def load_model(path: Path) -> Model:
    """Read an ``.onnx`` file.

    Raises:
        InputError: it is missing, damaged, refers to data that is missing, or cannot run.
    """
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise InputError(f"the model {path} {what}: name an .onnx file.")
    try:
        file_bytes = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"the model {path} cannot be read ({error.strerror}): check its permissions."
        ) from None
    proto, files = _parse(path, file_bytes)
    total = len(file_bytes) + sum(file.stat().st_size for file in files)
    is_large = total > MAX_BYTES
    data = _in_memory(path, proto, file_bytes, is_external=bool(files), is_large=is_large)
    try:
        session = optimised_session(data)
    except Exception as error:  # noqa: BLE001 - onnxruntime raises many types, all of which mean this
        raise InputError(
            f"onnxruntime {ort.__version__} cannot load {path} ({first_line(error)}): "
            "repair the model, or export it with standard operators only."
        ) from None
    opset = max((entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")), default=0)
    source = Source(file=path.name, sha256=_sha256(file_bytes, files), size=total, opset=opset)
    return Model(data, is_large, source, _signature(path, session), session)


def _parse(path: Path, file_bytes: bytes) -> tuple[onnx.ModelProto, list[Path]]:
    """The model without its external tensors, and the files that these are in."""
    try:
        external = has_external_data(path.resolve())  # which refuses links, as caches of models have them
        proto = onnx.load_model_from_string(file_bytes)
    except (DecodeError, InvalidBundle):
        raise InputError(f"{path} is not an ONNX model, or is damaged: export it anew.") from None
    try:
        files = external_files(proto, path.parent) if external else []
    except OSError as error:
        raise _unreadable(path, error) from None
    if external and not files:
        raise InputError(f"{path} keeps tensors of a function in another file: export them inside.")
    return proto, files


def _in_memory(
    path: Path, proto: onnx.ModelProto, file_bytes: bytes, *, is_external: bool, is_large: bool
) -> bytes:
    """The model as all of the search sees it: with its tensors, as far as they fit, and tensors as outputs.

    What else it gives, sequences and maps, no request can ask for, and onnx-ir cannot read.
    """
    tensors = [value for value in proto.graph.output if value.type.HasField("tensor_type")]
    if not proto.graph.output:
        raise InputError(f"{path} has no outputs, so there is nothing to serve: export it anew.")
    if not tensors:
        raise InputError(f"{path} has no output that is a tensor: export it without ZipMap or sequences.")
    for value in proto.graph.input:
        if value.type.HasField("tensor_type") and not value.type.tensor_type.HasField("shape"):
            raise InputError(
                f"input {value.name} of {path} has no shape: export it with one, free axes as names."
            )
    if not is_external and len(tensors) == len(proto.graph.output):
        return file_bytes
    del proto.graph.output[:]
    proto.graph.output.extend(tensors)
    try:
        refer_from_root(proto, path.parent)
        data: bytes = proto.SerializeToString()
        return data if is_large else taken_in(data)
    except (OSError, onnx.checker.ValidationError, ValueError) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{path} keeps tensors in another file that cannot be read ({first_line(error)}): "
        "put its external data beside it."
    )


def _sha256(file_bytes: bytes, files: list[Path]) -> str:
    """Of the model's file, followed by those of its external tensors."""
    total = hashlib.sha256(file_bytes)
    for path in files:
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                total.update(piece)
    return total.hexdigest()


def _signature(path: Path, session: ort.InferenceSession) -> Signature:
    outputs = [arg for arg in session.get_outputs() if arg.type in _DTYPES]
    for arg in session.get_inputs():
        if arg.type not in _DTYPES:
            raise InputError(
                f"input {arg.name} of {path} is a {arg.type}, which cannot be sent over HTTP: "
                "use plain tensors."
            )
    if not outputs:
        raise InputError(f"{path} has no output of a type that can be sent over HTTP: cast it to float32.")
    return Signature(
        inputs=[_spec(arg) for arg in session.get_inputs()], outputs=[_spec(arg) for arg in outputs]
    )


def _spec(arg: ort.NodeArg) -> TensorSpec:
    # Axes without a name, or called "?", may differ from each other: each gets a name of its own.
    shape = [
        axis
        if isinstance(axis, int) and axis >= 0
        else axis
        if axis and axis != "?"
        else f"{arg.name}_{index}"
        for index, axis in enumerate(arg.shape)
    ]
    return TensorSpec(
        name=arg.name, dtype=_DTYPES[arg.type], shape=[a if isinstance(a, int) else str(a) for a in shape]
    )
