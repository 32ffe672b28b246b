"""From a wish for a student to an ONNX graph that answers much as the original does."""

import inspect
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bundle.manifest import Signature
from optimizer.data import Sample
from optimizer.errors import InputError
from optimizer.train.batches import labels_of
from optimizer.train.goal import goal_of
from optimizer.train.machine import on_this_machine
from optimizer.train.students.export import as_onnx
from optimizer.train.students.fit import Course, fit
from optimizer.train.students.lessons import Lesson, Teacher, split, together
from optimizer.train.students.static import Static
from optimizer.train.students.student import Student
from optimizer.train.students.table import Table

_ASKING = (
    0.3  # of the time, for the teacher's answers to samples; and then once more of what is left for tokens
)
_CHECKED = 8  # samples

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Wish:
    """``kind``: static, mlp or linear, or a factory of a torch module; ``seconds`` for all of it.

    ``labels_weight`` and ``labelled``: see ``training.Settings``. ``checkpoint``: a file from which a student
    that was interrupted goes on, if it is of the same ``key``.
    """

    kind: str
    factory: Callable[..., Any] | None
    seconds: float
    seed: int
    labels_weight: float = 0.0
    labelled: str | None = None
    checkpoint: Path | None = None
    key: str = ""


def teach(wish: Wish, teacher: Teacher, samples: Sequence[Sample], tell: Tell) -> bytes:
    """The student as a serialised model, after it learned from the teacher's answers to unlabelled samples.

    Raises:
        CannotTrain: one sentence says why there is none.
        InputError: the user's factory gives no such module.
    """
    return on_this_machine(lambda: _teach(wish, teacher, samples, tell))


def _teach(wish: Wish, teacher: Teacher, samples: Sequence[Sample], tell: Tell) -> bytes:
    began = time.monotonic()
    until = began + wish.seconds
    torch.manual_seed(wish.seed)
    lessons = teacher.lessons(samples, began + _ASKING * wish.seconds)
    training, held = split(lessons, wish.seed)
    student = Student(_module(wish, teacher, training, until), teacher.signature)
    if wish.factory is not None:
        _check_answers(student, training[0], wish.kind)
    tell(f"student {wish.kind}: {len(training)} answers to learn from, {time.monotonic() - began:.0f} s")
    if wish.factory is None:
        torch.set_num_threads(1)  # more are in each other's way in so small a network
    goal = goal_of(student.outputs, wish.labels_weight, wish.labelled, labels_of(samples))
    course = Course(goal, until, wish.seed, wish.checkpoint, wish.key)
    learnt = fit(student, (training, held), course)
    tell(
        f"student {wish.kind}: error {learnt.before:.4g} -> {learnt.after:.4g}, {learnt.updates} updates, "
        f"{time.monotonic() - began:.0f} s"
    )
    return as_onnx(student, [lesson.feeds for lesson in held[:_CHECKED]])


def _module(wish: Wish, teacher: Teacher, lessons: Sequence[Lesson], until: float) -> nn.Module:
    if wish.factory is not None:
        return _made(wish.factory, wish.kind, teacher.signature)
    if wish.kind == "static":
        now = time.monotonic()
        return Static(teacher, lessons, now + _ASKING * (until - now))
    return Table(teacher.signature, lessons, hidden=wish.kind == "mlp")


def _made(factory: Callable[..., Any], name: str, signature: Signature) -> nn.Module:
    """What the user's factory gives; it may want the signature."""
    wants = [
        one
        for one in inspect.signature(factory).parameters.values()
        if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD) and one.default is one.empty
    ]
    try:
        module = factory(signature) if wants else factory()
    except Exception as error:  # noqa: BLE001 - the user's own function may raise anything
        raise InputError(f"{name} raised {type(error).__name__}: {error}.") from None
    if not isinstance(module, nn.Module):
        raise InputError(f"{name} gave a {type(module).__name__}: a student is a torch.nn.Module.")
    return module


def _check_answers(student: Student, lesson: Lesson, name: str) -> None:
    """The user's module has to answer in the original's shapes."""
    try:
        found = student(together([lesson.feeds]))
    except Exception as error:  # noqa: BLE001 - the user's own code may raise anything
        raise InputError(
            f"the module of {name} fails on a calibration sample ({type(error).__name__}: {error})."
        ) from None
    for output, wanted in lesson.answers.items():
        shape = list(found[output].shape)
        if shape != list(wanted.shape):
            raise InputError(
                f"the module of {name} gives {output} as {shape}, the original as {list(wanted.shape)}: "
                "return the same shapes."
            )
