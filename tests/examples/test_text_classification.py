"""The example of text classification, at a small scale: its data, its head, and a student in its place."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from coldpress.optimize import main
from examples.text_classification.data import PACKAGES, anonymous, examples
from tests.optimizer.conftest import make  # noqa: F401 - a fixture

EMBEDDER = """agraph (int64[batch, length] input_ids, int64[batch, length] attention_mask)
    => (float[batch, 32] embedding) {
    v = Gather (table, input_ids) a = MatMul (v, w1) b = Tanh (a) c = MatMul (b, w2)
    m = Cast <to = 1> (attention_mask) m3 = Unsqueeze (m, last) d = Mul (c, m3)
    s = ReduceSum <keepdims = 0> (d, middle) n = ReduceSum (m, middle) e = Div (s, n)
    embedding = LpNormalization <axis = -1, p = 2> (e) }"""


def test_what_gives_the_package_away_is_gone() -> None:
    text = "Numpy's arrays, and those of PyTorch and mysympy, go to np.zeros of a hypothesis with input."
    assert anonymous(text) == "'s arrays, and those of and my , go to .zeros of a with input."


def test_each_text_is_of_one_module(tmp_path: Path) -> None:
    for number, package in enumerate(PACKAGES):
        folder = tmp_path / package / "_vendor"
        folder.mkdir(parents=True)
        own = f'"""Sentence number {number} is one that no other package has of its own."""'
        common = '"""Everybody uses this very sentence, so it says nothing of the package."""'
        (tmp_path / package / "one.py").write_text(f"{own}\ndef f():\n    {own}\n")
        (tmp_path / package / "two.py").write_text(
            f"class A:\n    {common}\n\ndef f():\n    '''Too short.'''\n"
        )
        (tmp_path / package / "broken.py").write_text("def")
        (folder / "other.py").write_text('"""Another package that is only carried along in this one here."""')
    found = examples(tmp_path)
    assert sorted(one.label for one in found) == list(range(10))
    assert {one.module for one in found} == {f"{package}/one.py" for package in PACKAGES}


def texts(folder: Path, count: int, dice: np.random.Generator) -> None:
    """Of ten classes: a third of a text's words are from the twenty of its class, the others anyone's."""
    folder.mkdir()
    for number in range(count):
        label = number % 10
        length = int(dice.integers(6, 14))
        of_class = dice.random(length) < 0.35
        words = np.where(of_class, 20 * label + dice.integers(0, 20, length), dice.integers(200, 400, length))
        ids = np.concatenate([[400], words, [401]])[None].astype(np.int64)
        np.savez(folder / f"{number:04}.npz", input_ids=ids, attention_mask=np.ones_like(ids), labels=[label])


@pytest.mark.slow
def test_a_static_student_keeps_the_accuracy(
    make,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("torch")
    from examples.text_classification import train  # noqa: PLC0415

    dice = np.random.default_rng(0)
    shapes = {"table": (402, 256), "w1": (256, 1024), "w2": (1024, 32)}
    weights = {name: dice.normal(size=shape) / np.sqrt(shape[0]) for name, shape in shapes.items()}
    weights["table"] = dice.normal(size=shapes["table"])
    embedder = make(
        EMBEDDER,
        last=np.array([2]),
        middle=np.array([1]),
        **{name: array.astype(np.float32) for name, array in weights.items()},
    )
    onnx.save(embedder, tmp_path / "embedder.onnx")
    texts(tmp_path / "training", 1000, dice)
    texts(tmp_path / "evaluation", 1000, dice)
    train.main(str(tmp_path / "embedder.onnx"), str(tmp_path))
    capsys.readouterr()
    words = ["--calibration", tmp_path / "training", "--evaluation", tmp_path / "evaluation", "--train", "20"]
    more = ["--student", "static", "--max-drop", "0.1", "--time-budget", "30", "--json"]
    places = ["-o", tmp_path / "out", "--measurements", tmp_path / "measurements"]
    assert main(list(map(str, [tmp_path / "model.onnx", *words, *more, *places]))) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["metric"] == "accuracy"
    assert result["passes"][0] == "Student", result.get("notes")
    assert result["drop"] <= 0.1
    assert result["size_after"] < result["size_before"] / 2
