"""From what the user named to a torch module in evaluation mode, and the samples that it takes."""

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from optimizer.data import LABELS
from optimizer.errors import InputError, first_line
from optimizer.runtime import Array
from optimizer.sources.base import need, quietly
from optimizer.sources.pytorch.export import Program, Task, answer, parameters

_SEEN = 256  # samples that tell which axes are free


def fill(module: torch.nn.Module, spec: str, path: Path, *, trust_pickle: bool) -> None:
    """Give the module that ``spec`` made its weights: every one of its own, and no other.

    Raises:
        InputError: the file is damaged or not trusted, or its weights are not the module's.
    """
    own, tensors = module.state_dict(), _tensors(path, trust_pickle=trust_pickle)
    for name in own:
        if name not in tensors:
            some = ", ".join(itertools.islice(map(str, tensors), 3)) or "nothing"
            raise InputError(f"{path} has no '{name}', which the module of {spec} needs: it has {some} ….")
    for name, tensor in tensors.items():
        if name not in own:
            raise InputError(f"{path} has '{name}', but the module of {spec} has not: name its own factory.")
        shape, needed = tuple(getattr(tensor, "shape", ())), tuple(own[name].shape)
        if shape != needed:
            raise InputError(f"{path}: '{name}' has shape {shape}, but the module of {spec} needs {needed}.")
    module.load_state_dict(dict(tensors))


def from_file(path: Path) -> torch.nn.Module:
    """A module that was pickled whole, a TorchScript or a torch.export program: what reads it may run code.

    Raises:
        InputError: it is damaged, or holds no module.
    """
    try:
        with quietly():
            if path.suffix == ".pt2":
                return Program(torch.export.load(path))  # no eval(): it is in the mode that it has
            found = _unpickled(path)
    except Exception as error:  # noqa: BLE001 - torch raises many types, all of which mean this
        raise InputError(f"torch cannot read {path} ({first_line(error)}): save it anew.") from None
    if isinstance(found, Mapping):
        raise InputError(
            f"{path} holds weights without a network: name module:factory and --state-dict {path}."
        )
    if not isinstance(found, torch.nn.Module):
        raise InputError(f"{path} holds a {type(found).__name__}, and no torch.nn.Module: save one.")
    return found.cpu().eval()


def task(
    spec: str, module: torch.nn.Module, raw_data: Iterable[Mapping[str, Array]], calibration: str
) -> Task:
    """What there is to export: the inputs are the arrays that ``forward`` has names for.

    ``raw_data``: samples of ``calibration``.

    Raises:
        InputError: one is missing, or ``forward`` does not take them.
    """
    raw = list(itertools.islice(raw_data, _SEEN))
    if not raw:
        raise InputError(f"{calibration} holds no samples: give at least one.")
    names = _names(spec, module, raw[0], calibration)
    samples = [{name: one[name] for name in names if name in one} for one in raw]
    samples = _with_batch(spec, module, samples, is_stacked=calibration.endswith(".npz"))
    return Task(f"the module of {spec}", module, samples, _axes(module, samples))


def _tensors(path: Path, *, trust_pickle: bool) -> Mapping[str, Any]:
    if not path.is_file():
        raise InputError(f"--state-dict {path} does not exist: name a .safetensors or .pt file.")
    try:
        if path.suffix == ".safetensors":
            need(("safetensors",), "pytorch", str(path))
            from safetensors.torch import load_file  # noqa: PLC0415 - only where there is one

            return dict(load_file(path))
        with quietly():
            found = torch.load(path, map_location="cpu", weights_only=not trust_pickle)
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001 - torch raises many types, all of which mean this
        if type(error).__name__ == "UnpicklingError" and not trust_pickle:
            raise InputError(
                f"{path} is a pickle of more than tensors, which runs whatever code is in it: save "
                "module.state_dict(), or say --trust-pickle if you trust who made it."
            ) from None
        raise InputError(f"torch cannot read {path} ({first_line(error)}): save it anew.") from None
    if isinstance(found, torch.nn.Module):
        found = found.state_dict()
    if not isinstance(found, Mapping):
        raise InputError(f"{path} holds a {type(found).__name__}, and no weights: save module.state_dict().")
    return dict(found)


def _unpickled(path: Path) -> Any:
    try:
        return torch.jit.load(path, map_location="cpu")
    except RuntimeError:  # it is no TorchScript
        return torch.load(path, map_location="cpu", weights_only=False)


def _names(spec: str, module: torch.nn.Module, sample: Mapping[str, Array], calibration: str) -> list[str]:
    takes = parameters(module)
    for name, is_needed in takes.items():
        if is_needed and name not in sample:
            held = ", ".join(f"'{key}'" for key in sample if key != LABELS) or "nothing"
            raise InputError(
                f"forward() of {spec} takes '{name}', but {calibration} holds {held}: "
                "call its arrays as forward() calls them."
            )
    names = [name for name in takes if name in sample]
    if not names:
        raise InputError(f"forward() of {spec} has no parameters by name: give it those of {calibration}.")
    return names


def _with_batch(
    spec: str, module: torch.nn.Module, samples: Sequence[Mapping[str, Array]], *, is_stacked: bool
) -> list[dict[str, Array]]:
    """The samples as ``forward`` takes them, with a batch axis of length 1.

    An ``.npz`` with all samples leaves it away; others have it, or leave it away, which a run tells.
    """
    as_they_are = [dict(one) for one in samples]
    longer = [{name: array[np.newaxis] for name, array in one.items()} for one in samples]
    have_one = all(array.ndim and len(array) == 1 for one in samples for array in one.values())
    tried = [longer] if is_stacked else [as_they_are, longer] if have_one else [longer, as_they_are]
    failures = []
    for form in tried:
        try:
            answer(module, form[0])
        except InputError:
            raise
        except Exception as error:  # noqa: BLE001 - a user's module may raise anything
            failures.append(error)
        else:
            return form
    shapes = ", ".join(f"{name} {array.dtype}{list(array.shape)}" for name, array in tried[0][0].items())
    raise InputError(
        f"forward() of {spec} does not take the first calibration sample ({shapes}): "
        f"{type(failures[0]).__name__}: {first_line(failures[0])}."
    )


def _axes(module: torch.nn.Module, samples: Sequence[Mapping[str, Array]]) -> dict[str, dict[int, str]]:
    """The batch, where the module takes two samples at once, and axes of differing lengths.

    Those that are equally long in each sample share a name.
    """
    is_batched = _takes_two(module, samples[0])
    found: dict[str, dict[int, str]] = {}
    known: dict[tuple[int, ...], str] = {}
    for name, array in samples[0].items():
        found[name] = {0: "batch"} if is_batched else {}
        for axis in range(1, array.ndim):
            lengths = tuple(one[name].shape[axis] for one in samples if one[name].ndim == array.ndim)
            if len(set(lengths)) > 1:
                found[name][axis] = known.setdefault(lengths, re.sub(r"\W", "_", f"{name}_{axis}"))
    return found


def _takes_two(module: torch.nn.Module, sample: Mapping[str, Array]) -> bool:
    """Whether the answer to a sample beside itself is its answer twice."""
    alone = answer(module, sample)
    try:
        both = answer(module, {name: np.concatenate([array, array]) for name, array in sample.items()})
    except Exception:  # noqa: BLE001 - a user's module may raise anything
        return False
    return all(
        array.ndim
        and both[name].shape == (2 * len(array), *array.shape[1:])
        and np.allclose(both[name][len(array) :], array, rtol=1e-3, atol=1e-4, equal_nan=True)
        for name, array in alone.items()
    )
