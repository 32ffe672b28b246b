"""Calibration and evaluation data: samples from an ``.npz``, a folder of them, or a Python function."""

import hashlib
import importlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from bundle.arrays import load_npz
from bundle.errors import InvalidBundle
from bundle.manifest import Signature, TensorSpec
from optimizer.errors import InputError
from optimizer.runtime import Array

LABELS, TIMES = "labels", "times"


@dataclass(frozen=True)
class Sample:
    """One run of the model: an array for each input, in the model's rank, and the label if there is one.

    ``time`` is when it was asked, in seconds since 1970, where that is known.
    """

    feeds: dict[str, Array]
    label: Array | None = None
    time: float | None = None


def load_samples(source: str, signature: Signature) -> list[Sample]:
    """Read data for a model.

    ``source`` is an ``.npz`` (an array per input, the first axis the samples), a folder of ``.npz`` files
    (one sample each), or ``module:function`` (yields a dict of arrays for each sample). ``labels`` and
    ``times`` may stand beside the inputs. A sample that lacks the model's first axis gets one of length 1.

    Raises:
        InputError: it cannot be read, holds no samples, or does not fit the model.
    """
    return fit_samples(source, raw_samples(source, [spec.name for spec in signature.inputs]), signature)


def fit_samples(source: str, raw: Iterable[Mapping[str, Array]], signature: Signature) -> list[Sample]:
    """The same from arrays that were read: ``source`` is for sentences.

    Raises:
        InputError: there are none, or one does not fit the model.
    """
    samples = [_sample(f"{source}, sample {index}", arrays, signature) for index, arrays in enumerate(raw)]
    if not samples:
        raise InputError(f"{source} holds no samples: give at least one.")
    for what, given in (("labels", [s.label for s in samples]), ("times", [s.time for s in samples])):
        count = sum(one is not None for one in given)
        if count not in (0, len(samples)):
            raise InputError(f"{source} has {what} for {count} of {len(samples)} samples: give all or none.")
    return samples


def first_samples(source: str, most: int) -> dict[str, Array]:
    """The first samples of data for a model whose inputs are not known yet: by name, along the first axis.

    Raises:
        InputError: it cannot be read, holds no samples, or these differ in shape.
    """
    path = Path(source)
    if path.exists() and not path.is_dir():
        return {name: np.atleast_1d(array)[:most] for name, array in _load(path).items()}
    raw = _from_folder(path) if path.is_dir() else _from_function(source)
    samples = list(islice(raw, most))
    if not samples:
        raise InputError(f"{source} holds no samples: give at least one.")
    try:
        return {name: _joined([sample[name] for sample in samples]) for name in samples[0]}
    except (KeyError, ValueError):
        raise InputError(f"{source}: the samples differ in names or shapes, so they are no table.") from None


def raw_samples(source: str, names: Sequence[str] | None = None) -> Iterable[Mapping[str, Array]]:
    """The arrays of each sample as they are: those of an ``.npz`` have no batch axis, others may.

    ``names``: the model's inputs, all of which an ``.npz`` must have; None where nobody knows them yet.

    Raises:
        InputError: it cannot be read.
    """
    path = Path(source)
    if path.is_dir():
        return _from_folder(path)
    if path.exists():
        return _from_npz(path, names)
    if ":" in source and not source.endswith(".npz"):
        return _from_function(source)
    raise InputError(f"the data {source} does not exist: name an .npz, a folder of .npz or module:function.")


def _joined(arrays: Sequence[Array]) -> Array:
    """Along a new first axis, or along their own where the samples are of different numbers of rows."""
    is_even = len({array.shape for array in arrays}) == 1
    return np.stack(arrays) if is_even else np.concatenate(arrays)


def hash_samples(samples: Sequence[Sample]) -> str:
    """sha256 over names, types, shapes and values."""
    total = hashlib.sha256()
    for sample in samples:
        time = None if sample.time is None else np.array(sample.time)
        for name, array in [*sorted(sample.feeds.items()), (LABELS, sample.label), (TIMES, time)]:
            if array is not None:
                total.update(f"{name}\0{array.dtype}\0{array.shape}\0".encode())
                total.update(
                    "\0".join(map(str, array.flat)).encode() if array.dtype == object else array.tobytes()
                )
    return total.hexdigest()


def import_function(spec: str, option: str) -> Callable[..., Any]:
    """The function that ``module:function`` names, the current folder being importable.

    Raises:
        InputError: there is no such module or function, or importing it fails.
    """
    module_name, _, name = spec.partition(":")
    if (folder := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, folder)
    try:
        function = getattr(importlib.import_module(module_name), name)
    except (ImportError, ValueError) as error:
        raise InputError(f"{option} {spec}: module '{module_name}' cannot be imported ({error}).") from None
    except AttributeError:
        raise InputError(
            f"{option} {spec}: module '{module_name}' has no '{name}': check its name."
        ) from None
    except Exception as error:  # noqa: BLE001 - the user's own module may raise anything
        raise InputError(f"{option} {spec}: importing it raised {type(error).__name__}: {error}.") from None
    if not callable(function):
        raise InputError(f"{option} {spec} is not a function: name one.")
    return function  # type: ignore[no-any-return]  # what the user's function is, only a call shows


def _from_folder(folder: Path) -> Iterator[Mapping[str, Array]]:
    for path in sorted(folder.glob("*.npz")):
        yield _load(path)


def _load(path: Path) -> dict[str, Array]:
    try:
        return load_npz(path)
    except InvalidBundle as error:
        raise InputError(str(error)) from None


def _from_npz(path: Path, names: Sequence[str] | None) -> Iterator[Mapping[str, Array]]:
    arrays = _load(path)
    names = [name for name in arrays if name != LABELS] if names is None else names
    for name in names:
        _require(str(path), name, arrays)
        if arrays[name].ndim == 0:
            raise InputError(f"{path}: '{name}' is a single number: its first axis must be the samples.")
    kept = {name: arrays[name] for name in [*names, *({LABELS, TIMES} & arrays.keys())]}
    count = len(kept[names[0]]) if names else 0
    for name, array in kept.items():
        length = len(array) if array.ndim else 0
        if length != count:
            raise InputError(
                f"{path}: '{name}' has {length} samples but '{names[0]}' has {count}: "
                "give one for each sample."
            )
    return ({name: array[index] for name, array in kept.items()} for index in range(count))


def _from_function(spec: str) -> Iterable[Mapping[str, Array]]:
    function = import_function(spec, "data")
    try:
        produced = list(function())
    except Exception as error:  # noqa: BLE001 - the user's own function may raise anything
        raise InputError(f"{spec} raised {type(error).__name__}: {error}.") from None
    for index, arrays in enumerate(produced):
        if not isinstance(arrays, Mapping):
            raise InputError(
                f"{spec} must yield dicts of arrays by input name, "
                f"but sample {index} is a {type(arrays).__name__}."
            )
    return [{str(name): np.asarray(array) for name, array in arrays.items()} for arrays in produced]


def _require(where: str, name: str, arrays: Mapping[str, Array]) -> None:
    if name not in arrays:
        held = ", ".join(f"'{key}'" for key in arrays) or "nothing"
        raise InputError(f"{where} has no array for the model's input '{name}': it holds {held}.")


def _sample(where: str, arrays: Mapping[str, Array], signature: Signature) -> Sample:
    feeds = {}
    for spec in signature.inputs:
        _require(where, spec.name, arrays)
        feeds[spec.name] = _fit(where, spec, arrays[spec.name])
    beside = {
        name: np.asarray(arrays[name]) for name in (LABELS, TIMES) if name in arrays and name not in feeds
    }
    return Sample(feeds, beside.get(LABELS), _time(where, beside[TIMES]) if TIMES in beside else None)


def _time(where: str, given: Array) -> float:
    if given.size != 1 or given.dtype.kind not in "fiu" or not np.isfinite(given).all():
        raise InputError(f"{where}: '{TIMES}' must be one number, the seconds since 1970 when it was asked.")
    return float(given.reshape(()))


def _fit(where: str, spec: TensorSpec, array: Array) -> Array:
    """The array in the model's rank, its dtype and fixed axes checked."""
    if spec.dtype == "string" and array.dtype.kind in "US":
        array = np.asarray(array.astype(str)).astype(object)
    elif array.dtype.name != spec.dtype:
        raise InputError(
            f"{where}: the model's input '{spec.name}' is {spec.dtype}, but the data is {array.dtype.name}: "
            f"convert it with .astype('{spec.dtype}')."
        )
    shaped = array[np.newaxis] if array.ndim == len(spec.shape) - 1 else array
    fits = shaped.ndim == len(spec.shape) and all(
        isinstance(want, str) or want == have for want, have in zip(spec.shape, shaped.shape, strict=True)
    )
    if not fits:
        raise InputError(
            f"{where}: the model's input '{spec.name}' has shape {_shape(spec.shape)}, but the data has "
            f"{_shape(array.shape)}: reshape it."
        )
    return np.ascontiguousarray(shaped) if shaped.dtype != object else shaped


def _shape(shape: Sequence[int | str]) -> str:
    return f"[{', '.join(map(str, shape))}]"
