"""How a student is taught: the loss, the batches, the pace."""

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from optimizer.train.checkpoint import load_run, save_run
from optimizer.train.descent import Pace, Run, Trainee, descend
from optimizer.train.goal import Goal
from optimizer.train.students.lessons import Batch, Lesson, batches
from optimizer.train.students.student import Student

_RATE = 2e-3
_EPOCHS, _LEAST_UPDATES = 40, 2000
_BATCH = 64
_LOOKS, _JUDGED, _PATIENCE = 40, 0.5, 8


@dataclass(frozen=True)
class Learnt:
    """The error on held-out samples before and after, in how many updates."""

    before: float
    after: float
    updates: int


@dataclass(frozen=True)
class Course:
    """``until``: a monotonic time. ``checkpoint``: a file from which the same course, by ``key``, goes on."""

    goal: Goal
    until: float
    seed: int = 0
    checkpoint: Path | None = None
    key: str = ""


def fit(student: Student, lessons: tuple[Sequence[Lesson], Sequence[Lesson]], course: Course) -> Learnt:
    """Move the student's parameters until it answers as its teacher does, and leave the best ones.

    The first lessons are learnt from, the second looked at. Hinton, Vinyals, Dean: "Distilling the Knowledge
    in a Neural Network", 2015; scores are matched before the softmax (Ba and Caruana: "Do Deep Nets Really
    Need to be Deep?", 2014).
    """
    torch.manual_seed(course.seed)
    training, held = lessons
    size = _BATCH if student.takes_many else 1
    looked = batches(held, size, np.random.default_rng(course.seed))
    before = _error(student, looked, course.goal)
    tensors = student.state_dict()
    run = load_run(course.checkpoint, course.key, tensors) or Run(_RATE, before)
    stream = _again_and_again(training, size, course.seed + run.updates)

    def loss(_update: int) -> Tensor:
        student.train()
        batch = next(stream)
        return course.goal.loss(student(batch.inputs), batch.answers, batch.labels)

    trainee = Trainee(
        list(tensors.values()),
        _optimisers(student),
        loss,
        lambda _progress: _error(student, looked, course.goal),
    )
    updates = max(_EPOCHS * math.ceil(len(training) / size), _LEAST_UPDATES)
    pace = Pace(updates, course.until, _LOOKS, _PATIENCE, judged=_JUDGED)
    descend(trainee, run, pace, functools.partial(save_run, course.checkpoint, course.key, tensors))
    student.eval()
    return Learnt(before, run.least, run.updates)


def _again_and_again(lessons: Sequence[Lesson], size: int, seed: int) -> Iterator[Batch]:
    dice = np.random.default_rng(seed)
    while True:
        yield from batches(lessons, size, dice)


def _optimisers(student: Student) -> list[torch.optim.Optimizer]:
    """Adam; of tables whose gradients are sparse, of the rows that a batch reads."""
    tables = [one.weight for one in student.modules() if isinstance(one, nn.Embedding) and one.sparse]
    known = {id(table) for table in tables}
    others = [one for one in student.parameters() if one.requires_grad and id(one) not in known]
    found: list[torch.optim.Optimizer] = [torch.optim.Adam(others, lr=_RATE)] if others else []
    return [*found, torch.optim.SparseAdam(tables, lr=_RATE)] if tables else found


@torch.no_grad()
def _error(student: Student, looked: Sequence[Batch], goal: Goal) -> float:
    student.eval()
    found = [float(goal.loss(student(one.inputs), one.answers, one.labels)) for one in looked]
    weights = [len(next(iter(one.answers.values()))) for one in looked]
    return float(np.average(found, weights=weights))
