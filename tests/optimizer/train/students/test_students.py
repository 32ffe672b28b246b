"""`optimize --student`: another network learns the original's answers; it is chosen only within the bound."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from bundle.arrays import load_npz
from bundle.folder import verify
from coldpress.optimize import main
from optimizer.runtime import optimised_session
from tests.optimizer.conftest import Make

# Large layers, so that there is time to be saved; the answer is a mean over the words.
TEXT = """agraph (int64[batch, length] ids, int64[batch, length] mask) => (float[batch, 4] scores) {
    v = Gather (table, ids)
    a = MatMul (v, w1) b = Gelu (a) c = MatMul (b, w2) d = Gelu (c) e = MatMul (d, w3) f = Tanh (e)
    m = Cast <to = 1> (mask) m3 = Unsqueeze (m, last) g = Mul (f, m3)
    s = ReduceSum <keepdims = 0> (g, middle) n = ReduceSum (m, middle) h = Div (s, n)
    scores = MatMul (h, w4) }"""
TABLE = """agraph (float[batch, 6] x) => (float[batch, 3] p, int64[batch] label) {
    a = MatMul (x, w) b = Relu (a) c = MatMul (b, v) d = Relu (c) e = MatMul (d, u) p = Softmax (e)
    n = ArgMax <axis = 1, keepdims = 0> (p) label = Gather (classes, n) }"""
# Blocks of large layers around which a residual sum goes; half of them give little.
DEEP = """agraph (float[batch, 128] x) => (float[batch, 16] y) {{
    x0 = LayerNormalization (x, scale, offset) {blocks} y = MatMul (x6, w) }}"""
BLOCK = """h{0} = MatMul (x{0}, u{0}) g{0} = Relu (h{0}) f{0} = MatMul (g{0}, v{0})
    s{0} = Add (f{0}, x{0}) x{1} = LayerNormalization (s{0}, scale, offset)"""
FAINT = (1, 2, 4)
MODULE = """
import torch

class Small(torch.nn.Module):
    def __init__(self, width, answers):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(width, 32), torch.nn.ReLU(), torch.nn.Linear(32, answers), torch.nn.Softmax(-1)
        )
        self.register_buffer("classes", torch.tensor([7, 8, 9]))

    def forward(self, x):
        p = self.layers(x)
        return p, self.classes.index_select(0, p.argmax(-1))

class Factory(Small):
    def __init__(self, signature):
        super().__init__(signature.inputs[0].shape[1], signature.outputs[0].shape[1])

def wrong():
    return Small(6, 2)

def no_module():
    return 3
"""

Optimize = Callable[..., tuple[int, str, str]]


@pytest.fixture
def text_model(make: Make, tmp_path: Path) -> Path:
    """Texts of 3 to 12 out of 300 words, some of them rare, between a first and a last one that all have."""
    rng = np.random.default_rng(0)
    shapes = {"table": (302, 256), "w1": (256, 768), "w2": (768, 768), "w3": (768, 256), "w4": (256, 4)}
    weights = {name: rng.normal(size=shape) / np.sqrt(shape[0]) for name, shape in shapes.items()}
    weights["table"] = rng.normal(size=(302, 256))
    model = make(
        TEXT,
        opset=20,
        last=np.array([2]),
        middle=np.array([1]),
        **{name: array.astype(np.float32) for name, array in weights.items()},
    )
    onnx.save(model, tmp_path / "text.onnx")
    common = 1 / np.arange(1, 301)
    for name, count in (("calibration", 500), ("evaluation", 400)):
        folder = tmp_path / name
        folder.mkdir()
        for number in range(count):
            words = rng.choice(300, size=rng.integers(3, 12), p=common / common.sum())
            ids = np.concatenate([[300], words, [301]])[None].astype(np.int64)
            np.savez(folder / f"{number:03}.npz", ids=ids, mask=np.ones_like(ids))
    return tmp_path / "text.onnx"


@pytest.fixture
def table_model(make: Make, tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    shapes = {"w": (6, 512), "v": (512, 512), "u": (512, 3)}
    weights = {name: rng.normal(size=shape) * 1.5 / np.sqrt(shape[0]) for name, shape in shapes.items()}
    model = make(
        TABLE,
        classes=np.array([7, 8, 9]),
        **{name: array.astype(np.float32) for name, array in weights.items()},
    )
    onnx.save(model, tmp_path / "table.onnx")
    for name in ("calibration", "evaluation"):
        np.savez(tmp_path / f"{name}.npz", x=3 + 2 * rng.normal(size=(400, 6)).astype(np.float32))
    np.savez(tmp_path / "few.npz", x=rng.normal(size=(8, 6)).astype(np.float32))
    (tmp_path / "my_students.py").write_text(MODULE)
    return tmp_path / "table.onnx"


@pytest.fixture
def deep_model(make: Make, tmp_path: Path) -> Path:
    rng = np.random.default_rng(2)
    weights = {"scale": np.ones(128), "offset": np.zeros(128), "w": rng.normal(size=(128, 16)) / 11}
    for block in range(6):
        weights[f"u{block}"] = rng.normal(size=(128, 1024)) / 11
        weights[f"v{block}"] = rng.normal(size=(1024, 128)) / (200 if block in FAINT else 32)
    blocks = " ".join(BLOCK.format(block, block + 1) for block in range(6))
    model = make(
        DEEP.format(blocks=blocks), **{name: array.astype(np.float32) for name, array in weights.items()}
    )
    onnx.save(model, tmp_path / "deep.onnx")
    for name in ("calibration", "evaluation"):
        np.savez(tmp_path / f"{name}.npz", x=rng.normal(size=(400, 128)).astype(np.float32))
    return tmp_path / "deep.onnx"


@pytest.fixture
def optimize(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Optimize:
    """Status, stdout and stderr of the command."""
    monkeypatch.chdir(tmp_path)

    def run(model: Path, student: str, *more: str, data: str = "", **options: Any) -> tuple[int, str, str]:
        given = {
            "calibration": f"calibration{data}",
            "evaluation": f"evaluation{data}",
            "train": 10,
            **options,
        }
        words = [
            word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", str(value))
        ]
        places = ["-o", str(tmp_path / "out"), "--measurements", str(tmp_path / "measurements")]
        budget = ["--time-budget", str(given["train"] + 5)]
        status = main([str(model), "--student", student, *budget, *words, *places, *more])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.mark.slow
def test_a_static_student_replaces_a_network_over_texts(optimize: Optimize, text_model: Path) -> None:
    status, out, err = optimize(text_model, "static", "--json", metric="cosine", max_drop=0.2)
    assert (status, err) == (0, "")
    result = json.loads(out)
    assert result["passes"][0] == "Student", result.get("notes")
    assert result["drop"] <= 0.2
    assert result["size_after"] < result["size_before"] / 4
    manifest = verify(Path(result["bundle"]))
    assert [spec.shape for spec in manifest.signature.inputs] == [["batch", "length"]] * 2
    # Several texts of another length than any it learned from, padded: as many answers as texts.
    session = optimised_session(Path(result["bundle"], "model.onnx").read_bytes())
    ids = np.full((3, 40), 5)
    mask = (np.arange(40) < [[7], [40], [7]]).astype(np.int64)
    (answers,) = session.run(None, {"ids": ids, "mask": mask})
    assert answers.shape == (3, 4)
    np.testing.assert_allclose(answers[0], answers[2], rtol=1e-5)
    # The same command again learns nothing anew, and writes the same bundle.
    again = json.loads(optimize(text_model, "static", "--json", metric="cosine", max_drop=0.2)[1])
    assert again["digest"] == result["digest"]


@pytest.mark.slow
def test_a_student_outside_the_bound_is_refused_with_the_figure(optimize: Optimize, text_model: Path) -> None:
    status, out, _ = optimize(text_model, "static", train=2, metric="cosine", max_drop=0)
    assert status == 0
    (note,) = [line for line in out.splitlines() if "student static: not within the bound; cosine " in line]
    assert float(note.partition(" drop ")[2].split()[0]) > 0
    assert "the speed" in note


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mlp", "my_students:Factory"])
def test_a_student_of_a_table_gives_classes_too(optimize: Optimize, table_model: Path, kind: str) -> None:
    status, out, err = optimize(
        table_model, kind, "--json", data=".npz", output="p", metric="agreement", max_drop=0.2
    )
    assert (status, err) == (0, "")
    result = json.loads(out)
    assert result["passes"][0] == "Student", result.get("notes")
    session = optimised_session(Path(result["bundle"], "model.onnx").read_bytes())
    x = np.random.default_rng(5).normal(size=(50, 6)).astype(np.float32)
    p, label = session.run(["p", "label"], {"x": x})
    np.testing.assert_array_equal(label, p.argmax(1) + 7)
    np.testing.assert_allclose(p.sum(1), 1, atol=1e-5)


@pytest.mark.slow
def test_a_student_may_learn_from_labels_as_well(
    optimize: Optimize, table_model: Path, tmp_path: Path
) -> None:
    """Which say of each sample that it is of the class after the one that the original gives it."""
    session = optimised_session(table_model.read_bytes())
    for name in ("calibration", "evaluation"):
        x = load_npz(tmp_path / f"{name}.npz")["x"]
        np.savez(tmp_path / f"{name}.npz", x=x, labels=(session.run(["p"], {"x": x})[0].argmax(1) + 1) % 3)
    asked = {"data": ".npz", "output": "p", "metric": "accuracy", "max_drop": 0.2}
    status, out, err = optimize(table_model, "mlp", "--json", labels_weight=8, **asked)
    assert (status, err) == (0, "")
    result = json.loads(out)
    assert result["passes"][0] == "Student", result.get("notes")
    assert result["drop"] < -0.5


@pytest.mark.slow
def test_a_shallower_student_has_fewer_layers(optimize: Optimize, deep_model: Path) -> None:
    status, out, err = optimize(
        deep_model, "shallower", "--json", data=".npz", metric="cosine", max_drop=0.03
    )
    assert (status, err) == (0, "")
    result = json.loads(out)
    assert result["passes"][0] == "Student", result.get("notes")
    assert result["drop"] <= 0.03
    model = onnx.load(Path(result["bundle"], "model.onnx"))
    assert sum(node.op_type == "LayerNormalization" for node in model.graph.node) == 4


def test_a_shallower_student_is_for_residual_blocks(optimize: Optimize, table_model: Path) -> None:
    status, out, _ = optimize(table_model, "shallower", data=".npz", output="p", max_drop=0.2, train=1)
    assert status == 0
    assert "student shallower is left out: no layer of this graph can go whole, as no residual sum" in out


def test_a_static_student_is_for_token_ids(optimize: Optimize, table_model: Path) -> None:
    status, out, _ = optimize(table_model, "static", data=".npz", max_drop=0.2)
    assert status == 0
    assert "student static is left out: static embeddings are for models that look up a row" in out


def test_few_samples_teach_nothing(optimize: Optimize, table_model: Path) -> None:
    status, out, _ = optimize(table_model, "mlp", data=".npz", calibration="few.npz", max_drop=0.2)
    assert status == 0
    assert "student mlp is left out: it needs 16 calibration samples" in out


@pytest.mark.parametrize(
    ("student", "words"),
    [
        ("my_students:wrong", "gives p as [1, 2], the original as [1, 3]: return the same shapes."),
        ("my_students:no_module", "gave a int: a student is a torch.nn.Module."),
        ("my_students:missing", "missing"),
        ("sparse", "--student sparse is none of static, mlp, linear"),
    ],
)
def test_what_is_no_student(optimize: Optimize, table_model: Path, student: str, words: str) -> None:
    status, out, err = optimize(table_model, student, data=".npz", max_drop=0.2)
    assert (status, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1


def test_it_needs_time(optimize: Optimize, table_model: Path) -> None:
    status, _, err = optimize(table_model, "mlp", data=".npz", max_drop=0.2, train=0)
    assert status == 2
    assert "--student learns for --train SECONDS" in err
