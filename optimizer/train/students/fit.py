"""The one loop that teaches a student."""

import copy
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from optimizer.train.batches import error
from optimizer.train.students.lessons import Lesson, Tensors, batches
from optimizer.train.students.student import Student

_RATE = 2e-3
_EPOCHS, _LEAST_UPDATES = 40, 2000
_BATCH = 64
_PATIENCE = 6  # looks that gain nothing
_LOOK_AFTER = 1.0  # seconds at least, and an epoch


@dataclass(frozen=True)
class Learnt:
    """The error on held-out samples before and after, in how many updates."""

    before: float
    after: float
    updates: int


def fit(
    student: Student, lessons: tuple[Sequence[Lesson], Sequence[Lesson]], *, until: float, seed: int
) -> Learnt:
    """Move the student's parameters until it answers as its teacher does, and leave the best ones.

    The first lessons are learnt from, the second looked at. Adam, the rate along a half cosine that time
    which runs out shortens. Hinton, Vinyals, Dean: "Distilling the Knowledge in a Neural Network", 2015;
    scores are matched before the softmax (Ba and Caruana: "Do Deep Nets Really Need to be Deep?", 2014).
    """
    torch.manual_seed(seed)
    dice = np.random.default_rng(seed)
    training, held = lessons
    size = _BATCH if student.takes_many else 1
    looked = batches(held, size, dice)
    before = best = _error(student, looked)
    kept = copy.deepcopy(student.state_dict())
    optimisers = _optimisers(student)
    began = last_look = time.monotonic()
    updates = idle = 0
    progress = 0.0
    planned = max(_EPOCHS * math.ceil(len(training) / size), _LEAST_UPDATES)
    while progress < 1 and idle < _PATIENCE:
        student.train()
        for inputs, answers in batches(training, size, dice):
            loss = _loss(student(inputs), answers)
            student.zero_grad()
            loss.backward()
            for optimiser in optimisers:
                optimiser.param_groups[0]["lr"] = _RATE * 0.5 * (1 + math.cos(math.pi * min(progress, 1)))
                optimiser.step()
            updates += 1
            spent = (time.monotonic() - began) / max(until - began, 1e-3)
            progress = max(updates / planned, spent)
            if progress >= 1:
                break
        if progress < 1 and time.monotonic() - last_look < _LOOK_AFTER:
            continue
        last_look = time.monotonic()
        now = _error(student, looked)
        idle = 0 if now < best else idle + 1
        if now < best:
            best, kept = now, copy.deepcopy(student.state_dict())
    student.load_state_dict(kept)
    student.eval()
    return Learnt(before, best, updates)


def _optimisers(student: Student) -> list[torch.optim.Optimizer]:
    """Adam; of tables whose gradients are sparse, of the rows that a batch reads."""
    tables = [one.weight for one in student.modules() if isinstance(one, nn.Embedding) and one.sparse]
    known = {id(table) for table in tables}
    others = [one for one in student.parameters() if one.requires_grad and id(one) not in known]
    found: list[torch.optim.Optimizer] = [torch.optim.Adam(others, lr=_RATE)] if others else []
    return [*found, torch.optim.SparseAdam(tables, lr=_RATE)] if tables else found


def _loss(found: Tensors, wanted: Tensors) -> Tensor:
    return torch.stack([error(found[name], wanted[name]) for name in wanted]).sum()


@torch.no_grad()
def _error(student: Student, looked: Sequence[tuple[Tensors, Tensors]]) -> float:
    student.eval()
    found = [float(_loss(student(inputs), answers)) for inputs, answers in looked]
    weights = [len(next(iter(answers.values()))) for _, answers in looked]
    return float(np.average(found, weights=weights))
