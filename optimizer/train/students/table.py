"""Students of tables: a linear model, or a network of two hidden layers."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bundle.manifest import Signature
from optimizer.train.errors import CannotTrain
from optimizer.train.students.answers import Answers
from optimizer.train.students.lessons import Lesson, together

_WIDTH = 64


class Table(nn.Module):
    """All columns, standardised, then layers."""

    def __init__(self, signature: Signature, lessons: Sequence[Lesson], *, hidden: bool) -> None:
        """``hidden``: whether there are hidden layers.

        Raises:
            CannotTrain: an input is no table of numbers, or an output no row of scores.
        """
        super().__init__()
        self.names = [spec.name for spec in signature.inputs]
        for spec in signature.inputs:
            if spec.dtype == "string" or not 1 <= len(spec.shape) <= 2 or isinstance(spec.shape[-1], str):
                raise CannotTrain(
                    f"it takes columns of numbers, and the input {spec.name} is {spec.dtype} {spec.shape}."
                )
        rows = self._columns(together([lesson.feeds for lesson in lessons]))
        known = rows.isfinite()
        self.register_buffer("mean", torch.where(known, rows, 0).sum(0) / known.sum(0).clamp_min(1))
        gaps = torch.where(known, rows - self.mean, 0)
        self.register_buffer("scale", 1 / gaps.square().mean(0).sqrt().clamp_min(1e-6))
        self.has_gaps = not bool(known.all())
        width = len(self.mean)
        self.layers = nn.Sequential()
        if hidden:
            self.layers = nn.Sequential(
                nn.Linear(width, _WIDTH), nn.ReLU(), nn.Linear(_WIDTH, _WIDTH), nn.ReLU()
            )
        self.answers = Answers(signature.outputs, lessons, _WIDTH if hidden else width, 0)
        if not hidden:
            self.answers.start(self._standard(rows), lessons)

    def forward(self, **inputs: Tensor) -> dict[str, Tensor]:
        """All outputs."""
        return self.answers(self.layers(self._standard(self._columns(inputs))))

    def _columns(self, inputs: dict[str, Tensor]) -> Tensor:
        parts = [inputs[name].float() for name in self.names]
        return torch.cat([part if part.ndim == 2 else part.unsqueeze(1) for part in parts], 1)

    def _standard(self, rows: Tensor) -> Tensor:
        scaled = (rows - self.mean) * self.scale
        return torch.where(scaled.isnan(), 0.0, scaled) if self.has_gaps else scaled
