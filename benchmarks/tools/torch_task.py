"""What scripts of tools that work on torch modules share: the part that documentation leaves to the user."""

import itertools
import random
import time
from collections.abc import Callable, Iterator
from importlib import import_module

import onnx
import torch

from benchmarks.samples import read_set
from benchmarks.tools import Task

Batch = tuple[torch.Tensor, ...]

_BATCH, _RATE = 32, 1e-4
_RESERVED = 0.15  # of the time, for what else a script does


def original(task: Task) -> torch.nn.Module:
    """The module that the model was exported from, with its weights."""
    module, _, factory = task.about["torch"].partition(":")
    made: torch.nn.Module = getattr(import_module(module), factory)()
    return made.eval()


def smaller(task: Task) -> torch.nn.Module:
    """The user's student of it."""
    made: torch.nn.Module = import_module(task.about["torch"].partition(":")[0]).smaller()
    return made


def batches(task: Task, seed: int = 0) -> Iterator[Batch]:
    """Without end, inputs in order; texts of about one length together, zeros after what is shorter."""
    samples = list(read_set(task.calibration.with_name("training")))
    first = next(iter(samples[0]))
    samples.sort(key=lambda sample: sample[first].shape[1])
    starts, dice = list(range(0, len(samples), _BATCH)), random.Random(seed)
    while True:
        dice.shuffle(starts)
        for start in starts:
            part = samples[start : start + _BATCH]
            yield tuple(
                torch.nn.utils.rnn.pad_sequence(
                    [torch.from_numpy(sample[name][0]) for sample in part], batch_first=True
                )
                for name in part[0]
            )


def train(task: Task, module: torch.nn.Module, loss: Callable[[Batch], torch.Tensor], seed: int = 0) -> None:
    """AdamW at a rate that rises for a tenth of the task's time and then falls to nothing."""
    seconds = task.about["seconds"] * (1 - _RESERVED)
    optimizer = torch.optim.AdamW([each for each in module.parameters() if each.requires_grad], _RATE)
    module.train()
    steps, value = 0, torch.zeros(())
    stream = batches(task, seed)
    first = next(stream)  # when all is read
    start = time.monotonic()
    for batch in itertools.chain([first], stream):
        share = (time.monotonic() - start) / seconds
        if share >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = _RATE * min(share / 0.1, (1 - share) / 0.9)
        value = loss(batch)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        steps += 1
    module.eval()
    print(f"{steps} steps, last loss {float(value):.3g}", flush=True)


def export(task: Task, module: torch.nn.Module) -> None:
    """With the names and open axes of the original's graph."""
    graph = onnx.load(task.model, load_external_data=False).graph
    inputs, outputs = list(graph.input), list(graph.output)
    axes = {
        value.name: {
            at: each.dim_param
            for at, each in enumerate(value.type.tensor_type.shape.dim)
            if each.HasField("dim_param")
        }
        for value in [*inputs, *outputs]
    }
    torch.onnx.export(
        module.eval(),
        next(batches(task)),
        str(task.target),
        input_names=[value.name for value in inputs],
        output_names=[value.name for value in outputs],
        dynamic_axes=axes,
        opset_version=17,
        dynamo=False,
    )
