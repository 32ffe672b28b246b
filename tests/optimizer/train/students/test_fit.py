"""A student that was interrupted goes on where its checkpoint says."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bundle.manifest import Signature, TensorSpec
from optimizer.train.goal import Goal, goal_of
from optimizer.train.students.fit import Course, fit
from optimizer.train.students.lessons import Lesson
from optimizer.train.students.student import Student


class Linear(torch.nn.Module):
    """Answers as its one layer does, and counts how often it is trained."""

    def __init__(self, width: int = 4, stops_after: int = 10**9) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(width, 2)
        self.norm = torch.nn.BatchNorm1d(width)
        self.calls, self._stops_after = 0, stops_after

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += self.training
        if self.calls > self._stops_after:
            raise KeyboardInterrupt
        answers: torch.Tensor = self.layer(self.norm(x))
        return answers


def lessons(width: int = 4) -> tuple[list[Lesson], list[Lesson]]:
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(width, 2))
    rows = rng.normal(size=(256, 1, width))
    every = [
        Lesson({"x": row.astype(np.float32)}, {"y": (row @ weight).astype(np.float32)}, (row @ -weight)[0])
        for row in rows
    ]
    return every[:200], every[200:]


def taught(
    module: Linear, path: Path | None, key: str = "same", width: int = 4, goal: Goal | None = None
) -> Any:
    signature = Signature(
        inputs=[TensorSpec(name="x", dtype="float32", shape=["n", width])],
        outputs=[TensorSpec(name="y", dtype="float32", shape=["n", 2])],
    )
    course = Course(goal or Goal(["y"]), time.monotonic() + 1000, 0, path, key)
    return fit(Student(module, signature), lessons(width), course)


def test_a_student_that_was_interrupted_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    with pytest.raises(KeyboardInterrupt):
        taught(Linear(stops_after=800), path)
    module = Linear()
    learnt = taught(module, path)
    assert 700 < learnt.updates - module.calls <= 800  # it is saved at each of 40 looks
    assert learnt.after < 0.01 * learnt.before


@pytest.mark.parametrize(("key", "width"), [("another", 4), ("same", 5)])
def test_another_student_begins_anew(tmp_path: Path, key: str, width: int) -> None:
    path = tmp_path / "checkpoint"
    with pytest.raises(KeyboardInterrupt):
        taught(Linear(stops_after=800), path)
    module = Linear(width)
    learnt = taught(module, path, key, width)
    assert module.calls == learnt.updates


def test_labels_pull_the_answers_where_they_have_a_weight() -> None:
    """Each label is the teacher's answer with the other sign."""
    training, held = lessons()
    labels = [one.label for one in (*training, *held) if one.label is not None]
    module = Linear()
    taught(module, None, goal=goal_of(["y"], 4.0, None, labels))
    module.eval()
    for lesson in held[:8]:
        answer = module(torch.from_numpy(lesson.feeds["x"])).detach().numpy()
        assert (answer * lesson.answers["y"]).sum() < 0
