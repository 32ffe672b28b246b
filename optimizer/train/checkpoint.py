"""Where training goes on after it was stopped: arrays in one file, whole or not there."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bundle.arrays import load_npz
from bundle.errors import InvalidBundle
from optimizer.runtime import Array


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
