"""NVIDIA ModelOpt's distillation of a torch module into a smaller one, which is the user's to make."""

import sys

# torchprofile brings it, built for another torch, and transformers would look into it.
sys.modules["torchvision"] = None  # type: ignore[assignment]

import modelopt.torch.distill as mtd  # noqa: E402 - the line above comes first
import torch  # noqa: E402

from benchmarks.tools import Task  # noqa: E402
from benchmarks.tools.torch_task import Batch, export, original, smaller, train  # noqa: E402


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
