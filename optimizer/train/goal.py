"""What a trained graph should answer: what the teacher does, and what labels say where they have a weight."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from optimizer.runtime import Array
from optimizer.train.batches import are_probabilities, error
from optimizer.train.errors import CannotTrain
from optimizer.train.interpreter import Values
from optimizer.train.operators import as_tensor

_SMALLEST = 1e-12


@dataclass(frozen=True)
class Goal:
    """``outputs`` as the teacher's; ``weight``: of the labels, which say what ``labelled`` should be.

    ``spread``: the variance of labels that are numbers.
    """

    outputs: Sequence[str]
    weight: float = 0.0
    labelled: str = ""
    spread: float = 1.0

    def loss(self, found: Values, wanted: Values, labels: Sequence[Array]) -> Tensor:
        """How far answers are from it.

        Raises:
            CannotTrain: labels do not fit the answers.
        """
        loss = sum((error(found[name], wanted[name]) for name in self.outputs), torch.zeros(()))
        if self.weight == 0:
            return loss
        return loss + self.weight * self._task_loss(found[self.labelled], labels)

    def _task_loss(self, output: Tensor, labels: Sequence[Array]) -> Tensor:
        """Cross entropy where each row of scores has a label, squared error where each number has one."""
        flat = np.concatenate([np.ravel(label) for label in labels])
        classes = output.shape[-1] if output.ndim > 1 else 1
        if classes > 1 and flat.size * classes == output.numel():
            if flat.min() < 0 or flat.max() >= classes:
                raise CannotTrain(
                    f"a calibration label is outside 0 to {classes - 1}, the classes "
                    f"of the model's output {self.labelled}."
                )
            rows = output.reshape(-1, classes)
            logs = rows.clamp_min(_SMALLEST).log() if are_probabilities(rows) else rows.log_softmax(-1)
            return torch.nn.functional.nll_loss(logs, as_tensor(flat.astype(np.int64)))
        if flat.size == output.numel():
            wanted = as_tensor(flat.astype(np.float32)).reshape(output.shape)
            return (output - wanted).square().mean() / (self.spread + _SMALLEST)
        raise CannotTrain(
            f"{flat.size} calibration labels do not fit the model's output "
            f"{self.labelled} of shape {list(output.shape)}: give one for each prediction."
        )


def goal_of(outputs: Sequence[str], weight: float, labelled: str | None, labels: Sequence[Array]) -> Goal:
    """Labels are of the first output where none is named."""
    if weight == 0 or not labels:
        return Goal(outputs)
    spread = float(np.concatenate([np.ravel(label) for label in labels]).astype(np.float64).var())
    return Goal(outputs, weight, labelled or outputs[0], spread)
