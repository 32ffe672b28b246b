"""PyTorch: a module with its weights, or a file that torch can only read as a pickle."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from optimizer.data import raw_samples
from optimizer.errors import InputError
from optimizer.sources.base import Asked, Converted, need, origin_of

_FILES = (".pt2", ".pt", ".pth")


def is_mine(asked: Asked) -> bool:
    """Whether the file's name is one of torch's."""
    return asked.path.suffix in _FILES


def convert_file(asked: Asked) -> Converted:
    """A torch.export program, a TorchScript or a module that was pickled whole, as ONNX.

    Raises:
        InputError: it is missing, damaged or not trusted; else as ``convert_module``.
    """
    path = asked.path
    if not path.is_file():
        raise InputError(f"the model {path} does not exist: name a file, or module:factory.")
    if asked.state_dict is not None:
        raise InputError(f"--state-dict holds the weights of a module:factory, but {path} is a file.")
    if not asked.trust_pickle:
        raise InputError(
            f"torch reads {path} through pickle, which runs whatever code is in the file: name a "
            "module:factory with --state-dict, or say --trust-pickle if you trust who made it."
        )
    _need(asked)
    from optimizer.sources.pytorch import modules  # noqa: PLC0415 - torch takes seconds to import

    return _convert(asked, modules.from_file(path), path.stem, [path])


def convert_module(asked: Asked, module: Any, files: Sequence[Path]) -> Converted:
    """A torch module as ONNX; names, dtypes and shapes of its inputs are those of the calibration data.

    ``files``: those that it is from, beside its weights.

    Raises:
        InputError: the weights are not its own, ``forward`` does not take the calibration data, an operator
            has no ONNX form, or the ONNX file answers otherwise.
    """
    _need(asked)
    from optimizer.sources.pytorch import modules  # noqa: PLC0415 - torch takes seconds to import

    weights = [] if asked.state_dict is None else [asked.state_dict]
    for path in weights:
        modules.fill(module, asked.text, path, trust_pickle=asked.trust_pickle)
    stem = re.sub(r"\W+", "-", asked.text.rpartition(".")[2])
    return _convert(asked, module.cpu().eval(), stem, [*weights, *files])


def _convert(asked: Asked, module: Any, stem: str, files: Sequence[Path]) -> Converted:
    from optimizer.sources.pytorch import export, modules  # noqa: PLC0415 - as above

    path = asked.folder / f"{stem}.onnx"
    raw = raw_samples(asked.calibration)
    export.export(modules.task(asked.text, module, raw, asked.calibration), path)
    return Converted(path=path, origin=origin_of("torch", files[0] if files else path, files))


def _need(asked: Asked) -> None:
    need(("torch", "onnxscript"), "pytorch", f"the PyTorch model {asked.text}")
