"""NVIDIA ModelOpt's distillation of a torch module into a smaller one, which is the user's to make."""

import benchmarks.tools.without_torchvision  # noqa: F401 - before modelopt looks for it

# isort: split

import modelopt.torch.distill as mtd
import torch

from benchmarks.tools import Task
from benchmarks.tools.torch_task import Batch, export, original, smaller, train


def main() -> None:
    """Distil and write the graph."""
    task = Task.from_arguments()
    distilled = mtd.convert(
        smaller(task),
        mode=[("kd_loss", {"teacher_model": original(task), "criterion": torch.nn.MSELoss()})],
    )

    def loss(batch: Batch) -> torch.Tensor:
        distilled(*batch)
        return distilled.compute_kd_loss()

    train(task, distilled, loss)
    export(task, mtd.export(distilled))


if __name__ == "__main__":
    main()
