"""Whether a model is TensorFlow's, and its conversion in a process of its own."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

from bundle.manifest import Origin
from optimizer.errors import InputError
from optimizer.sources.base import Asked, Converted, need, origin_of
from optimizer.sources.tensorflow.hub import folder_of, is_handle, name_of
from optimizer.sources.tensorflow.request import Answer, Kind, Request

_SUFFIXES: dict[str, Kind] = {".keras": "keras", ".h5": "keras", ".hdf5": "keras", ".tflite": "tflite"}
_SAVED_MODEL = "saved_model.pb"
_ENVIRONMENT = {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}


def is_mine(asked: Asked) -> bool:
    """Whether it is a handle, a file of Keras or TFLite, or a folder with a SavedModel."""
    return is_handle(asked.text) or asked.path.suffix in _SUFFIXES or _saved_model(asked.path) is not None


def convert(asked: Asked) -> Converted:
    """Convert it, and compare the answers on calibration samples with TensorFlow's own.

    Raises:
        InputError: it is not there, TensorFlow cannot read it, ONNX lacks an operator of it, or it then
            answers otherwise.
    """
    path = folder_of(asked.text) if is_handle(asked.text) else asked.path
    folder = _saved_model(path)
    kind: Kind = "saved_model" if folder else _SUFFIXES[path.suffix]
    model = folder or path
    if not model.exists():
        raise InputError(f"the model {model} does not exist: check its path.")
    need(("tensorflow", "tf2onnx"), "tensorflow", str(asked.text))
    name = name_of(asked.text) if is_handle(asked.text) else _name(path, model)
    target = asked.folder / f"{name}.onnx"
    asked.folder.mkdir(parents=True, exist_ok=True)
    answer = _in_its_process(
        Request(
            kind=kind,
            model=str(model),
            title=asked.text,
            target=str(target),
            calibration=asked.calibration,
            trust_pickle=asked.trust_pickle,
        )
    )
    return Converted(
        path=target,
        origin=_origin(asked, answer.framework, model),
        name=None,
        class_labels=tuple(answer.class_labels),
    )


def _saved_model(path: Path) -> Path | None:
    """The folder that holds the SavedModel: ``path``, or its newest version as TensorFlow Serving counts."""
    if (path / _SAVED_MODEL).is_file():
        return path
    versions = [one.parent for one in path.glob(f"*/{_SAVED_MODEL}") if one.parent.name.isdecimal()]
    return max(versions, key=lambda version: int(version.name), default=None)


def _name(path: Path, model: Path) -> str:
    """Of the file, or of the folder above a version's."""
    named = model.resolve().parent if model.is_dir() and model.name.isdecimal() else path
    return named.resolve().stem


def _origin(asked: Asked, framework: str, model: Path) -> Origin:
    files = sorted(file for file in model.rglob("*") if file.is_file()) if model.is_dir() else [model]
    origin = origin_of(framework, model, files)
    return msgspec.structs.replace(origin, file=asked.text) if is_handle(asked.text) else origin


def _in_its_process(request: Request) -> Answer:
    with tempfile.TemporaryDirectory() as scratch:
        answer = Path(scratch) / "answer.json"
        done = subprocess.run(
            [sys.executable, "-m", "optimizer.sources.tensorflow.process", str(answer)],
            input=msgspec.json.encode(request),
            capture_output=True,
            env={**os.environ, **_ENVIRONMENT},
            check=False,
        )
        if done.returncode == 0 and answer.exists():
            said = msgspec.json.decode(answer.read_bytes(), type=Answer)
            if said.error:
                raise InputError(said.error)
            return said
    lines = done.stderr.decode(errors="replace").strip().splitlines() or ["it wrote nothing"]
    raise InputError(
        f"TensorFlow ended with status {done.returncode} while it read {request.title} ({lines[-1][:200]}): "
        "save the model anew with the TensorFlow that is here."
    )
