"""A folder as Hugging Face's libraries save it: config.json, model.safetensors, tokenizer.json."""

import json
import re
from pathlib import Path
from typing import Any

from optimizer.errors import InputError
from optimizer.sources.base import Asked, Converted, need, origin_of

CONFIG, TOKENIZER, PREPROCESSOR = "config.json", "tokenizer.json", "preprocessor_config.json"
_PICKLED = "pytorch_model.bin"


def is_mine(asked: Asked) -> bool:
    """Whether it is a folder with a config.json; beside a SavedModel, that is of something else."""
    return (asked.path / CONFIG).is_file() and not (asked.path / "saved_model.pb").exists()


def convert(asked: Asked) -> Converted:
    """The model as ONNX, its tokenizer and preprocessor for the bundle, and its labels.

    Raises:
        InputError: the folder lacks weights, its model does what is not known here, needs code of its own or
            does not take the calibration data, or the ONNX file answers otherwise.
    """
    folder = asked.path
    config = read_json(folder / CONFIG)
    weights = _weights(folder, trust_pickle=asked.trust_pickle)
    if "auto_map" in config:
        raise InputError(f"{folder} brings code of its own (auto_map in {CONFIG}), which is never run.")
    need(
        ("transformers", "torch", "safetensors", "tokenizers", "onnxscript"),
        "huggingface",
        f"the Hugging Face model {folder}",
    )
    # torch and transformers take seconds to import.
    from optimizer.sources import transformers_models  # noqa: PLC0415
    from optimizer.sources.pytorch.export import export  # noqa: PLC0415

    model = transformers_models.load(folder, config)
    name = re.sub(r"[^\w.-]+", "-", folder.resolve().name)
    path = asked.folder / f"{name}.onnx"
    export(transformers_models.task(folder, model, asked.calibration), path)
    extras = {} if model.tokenizer is None else {TOKENIZER: model.tokenizer}
    if (folder / PREPROCESSOR).is_file():
        extras[PREPROCESSOR] = (folder / PREPROCESSOR).read_bytes()
    return Converted(
        path=path,
        origin=origin_of("transformers", folder.resolve(), [folder / CONFIG, *weights]),
        class_labels=model.class_labels,
        extras=extras,
    )


def read_json(path: Path) -> dict[str, Any]:
    """An object in a file.

    Raises:
        InputError: it is none.
    """
    try:
        content = json.loads(path.read_bytes())
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise InputError(f"{path} is no JSON object: save the model anew.")
    return content


def _weights(folder: Path, *, trust_pickle: bool) -> list[Path]:
    found = sorted(folder.glob("model*.safetensors"))
    if found:
        return found
    pickled = folder / _PICKLED
    if not pickled.is_file():
        raise InputError(f"{folder} has no model.safetensors: save the model with save_pretrained().")
    if not trust_pickle:
        raise InputError(
            f"{pickled} is a pickle, which may run code when it is read: save the model as safetensors "
            "(save_pretrained), or say --trust-pickle if you trust who made it."
        )
    return [pickled]
