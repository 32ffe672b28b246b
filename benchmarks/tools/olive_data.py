"""The calibration set as Olive asks for data: a script that registers a dataset of inputs and labels."""

from pathlib import Path
from typing import Any

from olive.data.registry import Registry

from benchmarks.samples import read_set


@Registry.register_dataset()
def calibration_set(
    folder: str, **_: Any
) -> list[tuple[dict[str, Any], int]]:  # Olive adds arguments of its own
    """Its samples, each a batch; the labels are not used."""
    return [(sample, 0) for sample in read_set(Path(folder))]
