"""What a student's last layers make of features: outputs of each kind that the original has."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from bundle.manifest import TensorSpec
from optimizer.data import Sample
from optimizer.model import load_model
from optimizer.train.errors import CannotTrain
from optimizer.train.students import Teacher
from optimizer.train.students.answers import Answers
from optimizer.train.students.lessons import Lesson
from tests.optimizer.conftest import Make

WIDTH = 6


def learnt(**outputs: np.ndarray) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Features that the outputs are of, and the answers to them after least squares alone."""
    features = torch.from_numpy(FEATURES)
    count = len(FEATURES)
    lessons = [
        Lesson({}, {name: array[at : at + 1] for name, array in outputs.items()}) for at in range(count)
    ]
    specs = [
        TensorSpec(name=name, dtype=str(array.dtype), shape=["n", *array.shape[1:]])
        for name, array in outputs.items()
    ]
    answers = Answers(specs, lessons, WIDTH, hidden=4)
    answers.start(features, lessons)
    with torch.no_grad():
        return features, answers(features)


FEATURES = np.random.default_rng(0).normal(size=(200, WIDTH)).astype(np.float32)
SCORES = FEATURES @ np.random.default_rng(1).normal(size=(WIDTH, 3)).astype(np.float32) + 1


def test_scores_and_single_numbers_start_at_least_squares() -> None:
    _, found = learnt(**{"my.scores": SCORES, "one": SCORES[:, 0]})
    np.testing.assert_allclose(found["my.scores"], SCORES, atol=0.02)
    np.testing.assert_allclose(found["one"], SCORES[:, 0], atol=0.02)


def test_probabilities_and_the_class_that_they_name() -> None:
    shares = np.exp(SCORES) / np.exp(SCORES).sum(1, keepdims=True)
    label = np.array([30, 10, 20])[shares.argmax(1)]
    _, found = learnt(p=shares, label=label)
    np.testing.assert_allclose(found["p"].sum(1), 1, atol=1e-5)
    assert float((found["label"].numpy() == label).mean()) > 0.95
    assert set(found["label"].tolist()) <= {10, 20, 30}


def test_vectors_of_length_one_stay_so() -> None:
    _, found = learnt(v=SCORES / np.linalg.norm(SCORES, axis=1, keepdims=True))
    np.testing.assert_allclose(found["v"].norm(dim=1), 1, atol=1e-5)


@pytest.mark.parametrize(
    "odd", [np.zeros((200, 4, 3), np.float32), np.arange(200)], ids=["tokens", "numbers"]
)
def test_what_is_no_row_of_scores_cannot_be_learnt(odd: np.ndarray) -> None:
    with pytest.raises(CannotTrain, match="the output odd"):
        learnt(scores=SCORES, odd=odd)


def test_a_teacher_that_gives_nan_teaches_nothing(make: Make, tmp_path: Path) -> None:
    onnx.save(make("agraph (float[n, 2] x) => (float[n, 2] y) { y = Log (x) }"), tmp_path / "log.onnx")
    model = load_model(tmp_path / "log.onnx")
    samples = [Sample({"x": np.array([[1, at - 5]], np.float32)}) for at in range(20)]
    with pytest.raises(CannotTrain, match="NaN or infinity at y"):
        Teacher(model.data, model.session, model.signature).lessons(samples, until=0)
