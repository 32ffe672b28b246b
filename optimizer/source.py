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
from optimizer.errors import InputError
from optimizer.runtime import optimised_session

_MAX_BYTES = 2 * 1024**3 - 1  # what a protobuf, and so a bundle's model.onnx, can hold

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
    """A trained model: its bytes with all tensors inside, and what the manifest says of it."""

    data: bytes
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
    data, opset = _self_contained(path, file_bytes)
    try:
        session = optimised_session(data)
    except Exception as error:  # noqa: BLE001 - onnxruntime raises many types, all of which mean this
        raise InputError(
            f"onnxruntime {ort.__version__} cannot load {path} ({_first_line(error)}): "
            "repair the model, or export it with standard operators only."
        ) from None
    source = Source(
        file=path.name,
        sha256=hashlib.sha256(file_bytes).hexdigest(),
        size=max(len(file_bytes), len(data)),
        opset=opset,
    )
    return Model(data, source, _signature(path, session), session)


def _self_contained(path: Path, file_bytes: bytes) -> tuple[bytes, int]:
    """The model with external tensors taken in, and its opset."""
    try:
        external = has_external_data(path)
        proto = onnx.load(path) if external else onnx.load_model_from_string(file_bytes)
    except (DecodeError, InvalidBundle):
        raise InputError(f"{path} is not an ONNX model, or is damaged: export it anew.") from None
    except (OSError, onnx.checker.ValidationError, ValueError) as error:
        raise InputError(
            f"{path} keeps tensors in another file that cannot be read ({_first_line(error)}): "
            "put its external data beside it."
        ) from None
    opset = max((entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")), default=0)
    if not proto.graph.output:
        raise InputError(f"{path} has no outputs, so there is nothing to serve: export it anew.")
    if not external:
        return file_bytes, opset
    if proto.ByteSize() > _MAX_BYTES:
        raise InputError(f"{path} is larger than 2 GB with its external data, which a bundle cannot hold.")
    return proto.SerializeToString(), opset


def _signature(path: Path, session: ort.InferenceSession) -> Signature:
    outputs = [arg for arg in session.get_outputs() if arg.type in _DTYPES]
    for arg in session.get_inputs():
        if arg.type not in _DTYPES:
            raise InputError(
                f"input {arg.name} of {path} is a {arg.type}, which cannot be sent over HTTP: "
                "use plain tensors."
            )
    if not outputs:
        raise InputError(f"{path} has no output that is a tensor: export it without ZipMap or sequences.")
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


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".:")[:300]
