"""A student as an ONNX graph with the original's signature."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from optimizer.errors import InputError
from optimizer.runtime import Feeds
from optimizer.sources.pytorch.export import Task, export
from optimizer.train.errors import CannotTrain
from optimizer.train.students.student import Student


class _Named(nn.Module):
    """The student, called by names."""

    def __init__(self, student: Student) -> None:
        super().__init__()
        self.student = student

    def forward(self, **values: Tensor) -> dict[str, Tensor]:
        found: dict[str, Tensor] = self.student(values)
        return found


def as_onnx(student: Student, samples: Sequence[Feeds]) -> bytes:
    """The graph; the named axes of the signature stay free.

    Raises:
        CannotTrain: it cannot be exported, or the graph answers otherwise than torch.
    """
    axes = {
        spec.name: {at: axis for at, axis in enumerate(spec.shape) if isinstance(axis, str)}
        for spec in student.signature.inputs
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "student.onnx"
        try:
            export(Task("the student", _Named(student).eval(), samples, axes), path)
        except InputError as error:
            raise CannotTrain(str(error)) from None
        return path.read_bytes()
