"""Sets of samples: folders of ``.npz``, one a sample; needs numpy only, so that every tool can read them."""

import itertools
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

# Ranges and weights are taken from the first; a tool may choose on the second; the table's figures come from
# the third, which no tool sees.
SETS = ("calibration", "evaluation", "report")


def write_sets(folder: Path, samples: Iterable[Mapping[str, Array]], counts: Mapping[str, int]) -> None:
    """Split ``samples`` in order into the sets, so that none is in two of them."""
    stream = iter(samples)
    for name in SETS:
        target = folder / name
        target.mkdir(parents=True, exist_ok=True)
        written = 0
        for sample in itertools.islice(stream, counts[name]):
            np.savez(target / f"{written:04}.npz", **sample)  # type: ignore[arg-type]  # numpy's stub names one keyword
            written += 1
        if written < counts[name]:
            raise SystemExit(f"{folder.name}: {written} samples for {name}, but {counts[name]} are needed.")


def write_training(folder: Path, more: Iterable[Mapping[str, Array]]) -> None:
    """The set ``training``: the calibration set and these; for what trains."""
    target = folder / "training"
    shutil.copytree(folder / "calibration", target)
    for number, sample in enumerate(more):
        np.savez(target / f"more-{number:05}.npz", **sample)  # type: ignore[arg-type]  # as above


def read_set(folder: Path) -> Iterator[dict[str, Array]]:
    """The samples of one set, without labels."""
    for path in sorted(folder.glob("*.npz")):
        with np.load(path, allow_pickle=False) as arrays:  # noqa: TID251 - cannot unpickle; tools lack bundle/
            yield {name: arrays[name] for name in arrays.files if name != "labels"}
