"""Reading ``.npz`` without ever unpickling."""

import zipfile
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from bundle.errors import InvalidBundle

Array = npt.NDArray[np.generic]


def load_npz(source: Path | BinaryIO) -> dict[str, Array]:
    """All arrays of an ``.npz``, by name.

    Raises:
        InvalidBundle: the file is not an ``.npz``, is damaged, or holds pickled objects.
        FileNotFoundError: there is no such file.
    """
    name = source.name if isinstance(source, Path) else "the archive"
    try:
        with np.load(source, allow_pickle=False) as archive:  # noqa: TID251 - the one place, and it cannot unpickle
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise InvalidBundle(f"{name} is a single array, not an .npz: write it with numpy.savez.")
            return {key: archive[key] for key in archive.files}
    except FileNotFoundError:
        raise
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, KeyError):
        # numpy's own message for a file of another kind advises to unpickle it.
        raise InvalidBundle(
            f"{name} is not an .npz of plain arrays, or is damaged: write it anew with numpy.savez."
        ) from None


def golden_arrays(samples: list[tuple[dict[str, Array], dict[str, Array]]]) -> dict[str, Array]:
    """Name golden samples for ``golden.npz``: ``<i>/inputs/<name>`` and ``<i>/outputs/<name>``."""
    return {
        f"{index}/{side}/{name}": array
        for index, sample in enumerate(samples)
        for side, arrays in zip(("inputs", "outputs"), sample, strict=True)
        for name, array in arrays.items()
    }


def golden_samples(arrays: dict[str, Array]) -> list[tuple[dict[str, Array], dict[str, Array]]]:
    """Undo ``golden_arrays``: a list of (inputs, the original model's outputs).

    Raises:
        InvalidBundle: a key is not of the form that ``golden_arrays`` gives.
    """
    samples: dict[int, tuple[dict[str, Array], dict[str, Array]]] = {}
    for key, array in arrays.items():
        index, _, rest = key.partition("/")
        side, _, name = rest.partition("/")
        if not index.isdigit() or side not in ("inputs", "outputs") or not name:
            raise InvalidBundle(f"golden.npz holds an array '{key}' that is no sample: make the bundle anew.")
        samples.setdefault(int(index), ({}, {}))[side == "outputs"][name] = array
    return [samples[index] for index in sorted(samples)]
