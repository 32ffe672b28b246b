"""NNCF's pruning of a torch module: half of all weights, by magnitude; then trained.

Zeros are all that 3.x makes. Its filter pruning and its knowledge distillation are gone: their rows say so.
"""

import sys
from importlib.util import find_spec

import nncf
import torch

from benchmarks.tools import Task
from benchmarks.tools.torch_task import Batch, batches, export, original, train

_RATIO = 0.5
_OLD = {
    "filters": ("nncf.torch.pruning", "filter pruning, and its nncf.prune only sets single weights to zero"),
    "distillation": ("nncf.torch.knowledge_distillation", "knowledge distillation"),
}


def main() -> None:
    """Prune, train and write the graph."""
    task = Task.from_arguments()
    if task.variant in _OLD:
        module, what = _OLD[task.variant]
        if find_spec(module) is None:
            sys.exit(f"NNCF {nncf.__version__} has no {what}")
        sys.exit(f"NNCF {nncf.__version__} has {what} again: use it here")
    teacher, student = original(task), original(task)
    student = nncf.prune(
        student,
        mode=nncf.PruneMode.UNSTRUCTURED_MAGNITUDE_GLOBAL,
        ratio=_RATIO,
        examples_inputs=next(batches(task)),
    )

    def loss(batch: Batch) -> torch.Tensor:
        with torch.no_grad():
            wanted = teacher(*batch)
        return torch.nn.functional.mse_loss(student(*batch), wanted)

    train(task, student, loss)
    print(nncf.pruning_statistic(student))
    export(task, nncf.strip(student, do_copy=False, strip_format=nncf.StripFormat.IN_PLACE))


if __name__ == "__main__":
    main()
