"""The last layers of a student: from features of a sample to every output of the original."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bundle.manifest import TensorSpec
from optimizer.runtime import Array
from optimizer.train.errors import CannotTrain
from optimizer.train.students.lessons import Lesson

_SMALLEST = 1e-6
_RIDGES = (1e-3, 1e-2, 0.1, 1.0, 10.0)
_UNIT = 1e-3


class Answers(nn.Module):
    """One linear layer for each output that is floats, with what follows it.

    Probabilities get a softmax, vectors of length one are made so again, and whole numbers that name the
    class of another output's largest score are taken from it.
    """

    def __init__(
        self, specs: Sequence[TensorSpec], lessons: Sequence[Lesson], width: int, hidden: int
    ) -> None:
        """``width`` of the features; ``hidden`` neurons stand beside the linear layer, 0 for none.

        Raises:
            CannotTrain: an output is of another kind.
        """
        super().__init__()
        told = {spec.name: np.concatenate([one.answers[spec.name] for one in lessons]) for spec in specs}
        self.kinds: dict[str, str] = {}
        self.dtypes = {spec.name: getattr(torch, spec.dtype, None) for spec in specs}
        self.linear, self.inner, self.outer = nn.ModuleDict(), nn.ModuleDict(), nn.ModuleDict()
        self.classes: dict[str, tuple[str, Tensor]] = {}
        for spec in specs:
            array = told[spec.name]
            if array.dtype.kind == "f" and array.ndim in (1, 2):
                self._add(spec.name, array, width, hidden)
        for spec in specs:
            if spec.name not in self.kinds:
                self.classes[spec.name] = _named(spec, told, list(self.kinds))

    def _add(self, name: str, array: Array, width: int, hidden: int) -> None:
        self.kinds[name] = _kind(array)
        count = array.shape[1] if array.ndim == 2 else 1
        key = _key(name)
        self.linear[key] = nn.Linear(width, count)
        if hidden:
            self.inner[key], self.outer[key] = nn.Linear(width, hidden), nn.Linear(hidden, count, bias=False)
            nn.init.zeros_(self.outer[key].weight)

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """From [samples, width] to all outputs."""
        found = {}
        for name, kind in self.kinds.items():
            key = _key(name)
            scores = self.linear[key](features)
            if key in self.inner:
                scores = scores + self.outer[key](functional.relu(self.inner[key](features)))
            found[name] = _finished(scores, kind).to(self.dtypes[name])
        for name, (scores_name, classes) in self.classes.items():
            found[name] = classes.index_select(0, found[scores_name].argmax(-1))
        return found

    @torch.no_grad()
    def start(self, features: Tensor, lessons: Sequence[Lesson]) -> None:
        """Set the linear layers to least squares over these features, [lessons' rows, width]."""
        for name, kind in self.kinds.items():
            wanted = torch.from_numpy(np.concatenate([one.answers[name] for one in lessons])).double()
            scores = _unfinished(wanted.reshape(len(features), -1), kind)
            weight, bias = _least_squares(features.double(), scores)
            self.linear[_key(name)].weight.copy_(weight.T)
            self.linear[_key(name)].bias.copy_(bias)


def _least_squares(rows: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Weight and bias, with the ridge that does best on a fifth of the rows."""
    held = torch.arange(len(rows)) % 5 == 4

    def error(ridge: float) -> float:
        weight, bias = _ridge(rows[~held], wanted[~held], ridge)
        return float((rows[held] @ weight + bias - wanted[held]).square().mean())

    return _ridge(rows, wanted, min(_RIDGES, key=error))


def _ridge(rows: Tensor, wanted: Tensor, ridge: float) -> tuple[Tensor, Tensor]:
    mean, middle = rows.mean(0), wanted.mean(0)
    gram = (rows - mean).T @ (rows - mean)
    gram += ridge * gram.diagonal().mean().clamp_min(_SMALLEST) * torch.eye(len(gram))
    weight = torch.linalg.solve(gram, (rows - mean).T @ (wanted - middle))
    return weight, middle - mean @ weight


def _key(name: str) -> str:
    """A name that a torch module may have."""
    return "output " + name.replace(".", "·")


def _kind(array: Array) -> str:
    if array.ndim == 1:
        return "flat"
    if array.shape[1] > 1 and bool((array >= 0).all()) and np.allclose(array.sum(1), 1, atol=_UNIT):
        return "probabilities"
    if array.shape[1] > 1 and np.allclose(np.linalg.norm(array, axis=1), 1, atol=_UNIT):
        return "unit"
    return "scores"


def _finished(scores: Tensor, kind: str) -> Tensor:
    if kind == "probabilities":
        return functional.softmax(scores, -1)
    if kind == "unit":
        return functional.normalize(scores, dim=-1)
    return scores.squeeze(-1) if kind == "flat" else scores


def _unfinished(wanted: Tensor, kind: str) -> Tensor:
    return wanted.clamp_min(_SMALLEST).log() if kind == "probabilities" else wanted


def _named(spec: TensorSpec, told: Mapping[str, Array], scored: Sequence[str]) -> tuple[str, Tensor]:
    """The output whose largest score names this one's class, and the classes in the order of the scores."""
    array = told[spec.name]
    for name in scored:
        scores = told[name]
        if array.dtype.kind not in "iu" or array.ndim != 1 or scores.ndim != 2 or len(scores) != len(array):
            continue
        best = scores.argmax(1)
        classes = np.arange(scores.shape[1]).astype(array.dtype)
        for at in np.unique(best):
            classes[at] = array[best == at][0]
        if np.array_equal(classes[best], array):
            return name, torch.from_numpy(classes)
    raise CannotTrain(
        f"it gives one row of scores for each sample, and the output {spec.name} "
        f"({spec.dtype} {spec.shape}) is no such thing."
    )
