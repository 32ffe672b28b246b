"""NVIDIA ModelOpt's structured pruning of a torch module to 70 % of its operations, then trained.

Of its modes, mcore_minitron wants Megatron-Core and puzzletron large language models; gradnas, which pruned
BERT, is gone. fastnas is left, which is recommended for computer vision: it gets the module all the same.
"""

import sys
from typing import Any

import benchmarks.tools.without_torchvision  # noqa: F401 - before modelopt looks for it

# isort: split

import modelopt
import modelopt.torch.prune as mtp
import torch
from modelopt.torch.prune.fastnas import FastNASConfig
from modelopt.torch.prune.pruning import PruneModeRegistry

from benchmarks.tools import Task
from benchmarks.tools.torch_task import Batch, batches, export, original, train

_FLOPS = "70%"
_STEP = 8
_SCORED = 8  # batches


def main() -> None:
    """Prune, train and write the graph."""
    task = Task.from_arguments()
    if task.variant not in PruneModeRegistry:
        sys.exit(f"ModelOpt {modelopt.__version__} has no {task.variant}, its pruning of BERT and alike")
    teacher, student = original(task), original(task)
    stream = batches(task)
    scored = [next(stream) for _ in range(_SCORED)]

    def loss(batch: Batch, module: torch.nn.Module) -> torch.Tensor:
        with torch.no_grad():
            wanted = teacher(*batch)
        return torch.nn.functional.mse_loss(module(*batch), wanted)

    def score(module: torch.nn.Module) -> float:
        with torch.no_grad():
            return -float(torch.stack([loss(batch, module) for batch in scored]).mean())

    student, _ = mtp.prune(
        student,
        mode=[(task.variant, _finer(FastNASConfig().model_dump()))],
        constraints={"flops": _FLOPS},
        dummy_input=tuple(tensor[:1] for tensor in scored[0]),
        config={
            "data_loader": scored,
            "collect_func": lambda batch: batch,
            "score_func": score,
            "checkpoint": str(task.target.with_name("search.pth")),
        },
    )
    train(task, student, lambda batch: loss(batch, student))
    export(task, student)


def _finer(config: dict[str, Any]) -> dict[str, Any]:
    """By steps of so many channels and neurons; its default, 32, leaves small networks as they are."""
    for rules in config.values():
        for rule in (rules or {}).values():
            for name in rule.keys() & {"channel_divisor", "feature_divisor"}:
                rule[name] = _STEP
    return config


if __name__ == "__main__":
    main()
