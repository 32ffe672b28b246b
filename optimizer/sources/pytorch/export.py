"""A torch module as an ONNX file, with the free axes that its samples show."""

import inspect
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from onnx_ir.passes import common

from optimizer.errors import InputError, first_line
from optimizer.external import MAX_BYTES
from optimizer.runtime import Array
from optimizer.sources.base import quietly
from optimizer.sources.check import check

# The newest whose attention and GELU the passes know.
_OPSET, _TRACING_OPSET = 18, 17
_CHECKED = 8  # samples

Feeds = Mapping[str, Array]
Axes = Mapping[str, Mapping[int, str]]


@dataclass(frozen=True)
class Task:
    """A module in evaluation mode to export; ``what`` names it in sentences.

    ``samples``: arrays by the names that ``forward`` has for them, with a batch axis of length 1.
    ``axes``: the names of free axes, by input; the batch is the first.
    """

    what: str
    module: torch.nn.Module
    samples: Sequence[Feeds]
    axes: Axes


class Plain(torch.nn.Module):
    """A module as torch.onnx takes it best: tensors in the order of ``names`` in, a tuple of tensors out."""

    def __init__(self, module: torch.nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.module = module
        self.names = names

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The outputs in the order of ``named``."""
        return tuple(named(self.module(**dict(zip(self.names, tensors, strict=True)))).values())


class Program(torch.nn.Module):
    """A torch.export program, called by names: what it was exported with by place, it takes by place only."""

    def __init__(self, program: torch.export.ExportedProgram) -> None:
        super().__init__()
        self.module = program.module()
        self.takes = parameters(self.module)
        self._placed = program.call_spec.in_spec.children()[0].num_children

    def forward(self, **feeds: torch.Tensor) -> Any:
        """What the program gives."""
        names = list(self.takes)
        placed = [feeds[name] for name in names[: self._placed]]
        return self.module(*placed, **{name: feeds[name] for name in names[self._placed :]})


def named(result: Any) -> dict[str, torch.Tensor]:
    """What a module gives, by name: its own names where it gives a dict.

    Raises:
        InputError: something in it is no tensor.
    """
    if isinstance(result, torch.Tensor):
        return {"output": result}
    if isinstance(result, Mapping):
        found = {str(name): value for name, value in result.items() if value is not None}
    elif isinstance(result, list | tuple):
        found = {f"output_{index}": value for index, value in enumerate(result) if value is not None}
    else:
        found = {"output": result}
    for name, value in found.items():
        if not isinstance(value, torch.Tensor):
            raise InputError(
                f"the module's {name} is a {type(value).__name__}: let forward() return tensors, "
                "or a dict of them by name."
            )
    return found


def parameters(module: torch.nn.Module) -> dict[str, bool]:
    """What ``forward`` takes by name, and whether it needs it."""
    if isinstance(module, Program):
        return module.takes
    if isinstance(module, torch.jit.ScriptModule):
        _, *arguments = module.forward.schema.arguments
        return {one.name: not one.has_default_value() for one in arguments}
    found = inspect.signature(module.forward).parameters.values()
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {one.name: one.default is one.empty for one in found if one.kind in by_name}


def answer(module: torch.nn.Module, feeds: Feeds) -> dict[str, Array]:
    """What the module answers to one sample."""
    with torch.no_grad():
        outputs = named(module(**{name: torch.from_numpy(np.array(array)) for name, array in feeds.items()}))
    return {name: value.numpy() for name, value in outputs.items()}


def export(task: Task, path: Path) -> None:
    """Write the ONNX file: by torch.export, or by tracing where that fails.

    Raises:
        InputError: neither works, or the file answers otherwise than the module.
    """
    feeds = task.samples[:_CHECKED]
    answers = [answer(task.module, one) for one in feeds]
    failures: list[Exception] = []
    path.parent.mkdir(parents=True, exist_ok=True)
    for exporter in (_by_export, _by_tracing):
        try:
            with quietly():
                model = exporter(task, list(answers[0]))
            _save(model, path)
            check(path, task.what, "torch", feeds, answers)
        except InputError as error:
            failures.insert(0, error)  # worth more to the user than that the other way failed
        except (OSError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001 - torch raises many types, all of which mean this
            failures.append(error)
        else:
            return
        path.unlink(missing_ok=True)
    if isinstance(failures[0], InputError):
        raise failures[0]
    raise InputError(f"{task.what} cannot be written as ONNX ({_reason(failures[0])}).") from None


def _by_export(task: Task, outputs: Sequence[str]) -> ir.Model:
    names, tensors = _example(task)
    shapes = tuple(dict(task.axes.get(one, {})) for one in names)
    program = torch.onnx.export(
        Plain(task.module, names),
        tensors,
        dynamic_shapes=(shapes,),
        opset_version=_OPSET,
        dynamo=True,
        verbose=False,
    )
    return _tidy(program.model, names, outputs)


def _by_tracing(task: Task, outputs: Sequence[str]) -> ir.Model:
    names, tensors = _example(task)
    is_script = isinstance(task.module, torch.jit.ScriptModule)  # which no other module can hold while traced
    handle = os.memfd_create("traced.onnx")
    try:
        file = Path(f"/proc/self/fd/{handle}")
        torch.onnx.export(
            task.module if is_script else Plain(task.module, names),
            tensors,
            str(file),
            input_names=[f"input:{name}" for name in names],
            dynamic_axes={f"input:{name}": dict(task.axes.get(name, {})) for name in names},
            opset_version=_TRACING_OPSET,
            dynamo=False,
        )
        return _tidy(ir.load(file), names, outputs)
    finally:
        os.close(handle)


def _example(task: Task) -> tuple[list[str], tuple[torch.Tensor, ...]]:
    """The largest sample, twice where the batch is free: torch.export takes an axis of length 1 for fixed."""
    sample = max(task.samples, key=lambda one: sum(array.size for array in one.values()))
    tensors = []
    for name, array in sample.items():
        times = 2 if 0 in task.axes.get(name, {}) else 1
        # Each a copy of its own: one tensor under two names would be taken for one input.
        tensors.append(torch.from_numpy(np.concatenate([array] * times)))
    return list(sample), tuple(tensors)


def _tidy(model: ir.Model, inputs: Sequence[str], outputs: Sequence[str]) -> ir.Model:
    """Inputs and outputs by their names, and nothing of the machine that it was exported on."""
    common.ClearMetadataAndDocStringPass()(model)
    graph = model.graph
    kept = [*graph.inputs, *graph.outputs]
    wanted = {*inputs, *outputs}
    for node in ir.traversal.RecursiveGraphIterator(graph):
        for result in node.outputs:
            if result.name in wanted and result not in kept:
                result.name = f"{result.name}_inside"
    for name in wanted & set(graph.initializers):
        graph.initializers[name].name = f"{name}_weights"
    for values, names in ((graph.inputs, inputs), (graph.outputs, outputs)):
        for value, name in zip(values, names, strict=True):
            value.name = name
    return model


def _save(model: ir.Model, path: Path) -> None:
    size = sum(value.const_value.nbytes for value in model.graph.initializers.values() if value.const_value)
    outside = f"{path.name}.data" if size > MAX_BYTES * 0.95 else None
    ir.save(model, path, external_data=outside)


def _reason(error: Exception) -> str:
    """The last cause of an error, its first line: what torch itself says above is how to report it."""
    while error.__cause__ is not None and isinstance(error.__cause__, Exception):
        error = error.__cause__
    return first_line(error)
