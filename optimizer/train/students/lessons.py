"""What a student learns from: unlabelled samples, and what the original answers."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnxruntime as ort
import torch
from torch import Tensor

from bundle.manifest import Signature
from optimizer.data import Sample
from optimizer.evaluate import outputs_of
from optimizer.runtime import Array, Feeds, run
from optimizer.train.errors import CannotTrain

_FEWEST = 16
_HELD, _MOST_HELD = 0.1, 512
_AT_ONCE = 64

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Lesson:
    """One sample, the original's answers to it, and its label if it has one."""

    feeds: Feeds
    answers: Mapping[str, Array]
    label: Array | None = None


class Teacher:
    """The original, asked one sample after the other, as it is served."""

    def __init__(self, model: bytes, session: ort.InferenceSession, signature: Signature) -> None:
        self.model = model
        self.session = session
        self.signature = signature

    def lessons(self, samples: Sequence[Sample], until: float) -> list[Lesson]:
        """As many as there is time for.

        Raises:
            CannotTrain: they are too few, or the original gives NaN or infinity.
        """
        names = [spec.name for spec in self.signature.outputs]
        found: list[Lesson] = []
        for at in range(0, len(samples), _AT_ONCE):
            if time.monotonic() > until and len(found) >= _FEWEST:
                break
            part = samples[at : at + _AT_ONCE]
            answers = outputs_of(self.session, part, names, lambda _, answers: answers)
            found += [
                Lesson(sample.feeds, its, sample.label) for sample, its in zip(part, answers, strict=True)
            ]
        if len(found) < _FEWEST:
            raise CannotTrain(
                f"it needs {_FEWEST} calibration samples, better some thousands, and there are {len(found)}."
            )
        for lesson in found:
            for name, array in lesson.answers.items():
                if array.dtype.kind == "f" and not np.isfinite(array).all():
                    raise CannotTrain(f"the original gives NaN or infinity at {name}.")
        return found

    @property
    def takes_many(self) -> bool:
        """Whether samples can be put together along the first axis of every input and output."""
        return takes_many(self.signature)

    def ask(self, feeds: Feeds) -> dict[str, Array]:
        """Its answers."""
        return run(self.session, feeds, [spec.name for spec in self.signature.outputs])


def split(lessons: Sequence[Lesson], seed: int) -> tuple[list[Lesson], list[Lesson]]:
    """To learn from, and held out, by chance."""
    order = np.random.default_rng(seed).permutation(len(lessons))
    held = min(max(int(len(lessons) * _HELD), 1), _MOST_HELD)
    return [lessons[at] for at in order[held:]], [lessons[at] for at in order[:held]]


@dataclass(frozen=True)
class Batch:
    """Lessons of equal shapes together."""

    inputs: Tensors
    answers: Tensors
    labels: list[Array]


def batches(lessons: Sequence[Lesson], size: int, dice: np.random.Generator) -> list[Batch]:
    """All of them, in an order by chance."""
    by_shape: dict[object, list[Lesson]] = {}
    for at in dice.permutation(len(lessons)):
        lesson = lessons[at]
        shapes = tuple(array.shape for array in [*lesson.feeds.values(), *lesson.answers.values()])
        by_shape.setdefault(shapes, []).append(lesson)
    parts = [alike[at : at + size] for alike in by_shape.values() for at in range(0, len(alike), size)]
    return [
        Batch(
            together([one.feeds for one in parts[at]]),
            together([one.answers for one in parts[at]]),
            [one.label for one in parts[at] if one.label is not None],
        )
        for at in dice.permutation(len(parts))
    ]


def together(rows: Sequence[Mapping[str, Array]]) -> Tensors:
    """Arrays of several samples along their first axis."""
    return {
        name: torch.from_numpy(
            np.concatenate([row[name] for row in rows]) if len(rows) > 1 else rows[0][name]
        )
        for name in rows[0]
    }


def takes_many(signature: Signature) -> bool:
    """Whether the first axis of every input and output is free."""
    every = [*signature.inputs, *signature.outputs]
    return all(spec.shape and isinstance(spec.shape[0], str) for spec in every)
