"""Where training goes on after it was stopped: arrays in one file, whole or not there."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bundle.arrays import load_npz
from bundle.errors import InvalidBundle
from optimizer.runtime import Array
from optimizer.train.descent import Run, put

_FIGURES = "how far"  # beside the tensors


def write_checkpoint(path: Path, arrays: Mapping[str, Any]) -> None:
    """Whole or not at all."""
    partial = path.with_name(f".partial-{os.getpid()}-{path.name}")
    try:
        with partial.open("wb") as file:
            np.savez(file, **arrays)
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)


def read_checkpoint(path: Path | None) -> dict[str, Array]:
    """What was written; nothing where that is nowhere, or damaged."""
    if path is None or not path.is_file():
        return {}
    try:
        return load_npz(path)
    except InvalidBundle:
        return {}


def save_run(path: Path | None, key: str, tensors: Mapping[str, Tensor], run: Run) -> None:
    """How far a run is, its tensors now, and where they were best; ``key``: of all that it depends on."""
    if path is None:
        return
    figures = [key, run.rate, run.least, run.progress, run.updates, run.kept is not None]
    arrays: dict[str, Any] = {_FIGURES: np.array([str(figure) for figure in figures])}
    for (name, now), kept in zip(tensors.items(), run.kept or tensors.values(), strict=True):
        arrays[f"now {name}"], arrays[f"kept {name}"] = (
            now.detach().cpu().numpy(),
            kept.detach().cpu().numpy(),
        )
    write_checkpoint(path, arrays)


def load_run(path: Path | None, key: str, tensors: Mapping[str, Tensor]) -> Run | None:
    """Where an earlier run of the same was stopped; its tensors are put in."""
    arrays = read_checkpoint(path)
    figures = [str(figure) for figure in arrays.get(_FIGURES, np.array([""]))]
    if figures[0] != key or any(arrays[f"now {name}"].shape != one.shape for name, one in tensors.items()):
        return None
    now, kept = (
        [torch.from_numpy(arrays[f"{when} {name}"]).to(one.device) for name, one in tensors.items()]
        for when in ("now", "kept")
    )
    put(list(tensors.values()), now)
    rate, least, progress = map(float, figures[1:4])
    return Run(rate, least, progress, int(figures[4]), kept if figures[5] == "True" else None)
