"""A bundle answers on the CPUs that its target promises as it does where it was pressed."""

import json
import subprocess
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from bundle.arrays import load_npz
from examples.ocr.lines import evaluation
from scripts.from_wheel import take
from tests.optimizer import cpus

MINILM = cpus.ROOT / "build" / "minilm"
SAMPLES = 20

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]


@pytest.fixture(scope="module", params=["x86_64", "arm64"])
def target(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def cpu(target: str) -> cpus.Cpu:
    return cpus.haswell() if target == "x86_64" else cpus.graviton2()


def press(model: Path, target: str, folder: Path, *arguments: str) -> Path:
    optimize = str(Path(sys.executable).with_name("optimize"))
    command = [optimize, str(model), "--target", target, "--json", "-o", str(folder), *arguments]
    done = subprocess.run(command, check=True, cwd=cpus.ROOT, capture_output=True, text=True)
    return Path(json.loads(done.stdout)["bundle"])


def both(bundle: Path, cpu: cpus.Cpu, samples: list[dict[str, np.ndarray]], work: Path) -> list[tuple]:
    """(model's file, its answers here, its answers there)."""
    return [
        (name, cpus.native().run(bundle / name, samples, work), cpu.run(bundle / name, samples, work))
        for name in ("model.ort", "model.onnx")
    ]


def test_text_recognition(target: str, cpu: cpus.Cpu, tmp_path: Path) -> None:
    """Argmax by step. In int8 this network is chaotic: a float rounded otherwise travels on, so that even the
    same file with ONNX Runtime's graph optimisation on and off agrees with itself at 0.97 to 0.98 only."""
    model = tmp_path / "rec.onnx"
    take("rapidocr-onnxruntime", "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx", model)
    data = [
        "--calibration",
        "examples.ocr.lines:calibration",
        "--evaluation",
        "examples.ocr.lines:evaluation",
    ]
    bundle = press(model, target, tmp_path, *data, "--max-drop", "0.016", "--metric", "agreement")
    samples = list(islice(evaluation(), SAMPLES))
    for name, here, there in both(bundle, cpu, samples, tmp_path):
        same = np.mean([np.mean(a.argmax(-1) == b.argmax(-1)) for a, b in zip(here, there, strict=True)])
        assert same >= 0.97, name


@pytest.mark.skipif(not (MINILM / "model.onnx").exists(), reason="examples/minilm/export.sh was not run")
def test_sentence_embedding(target: str, cpu: cpus.Cpu, tmp_path: Path) -> None:
    """Where a float is rounded otherwise, a value falls on the other side of an int8 step, and that travels
    on. How far, the model itself says: it is asked here with all its floats moved by their last bit."""
    data = [f"--{side}={MINILM / side}" for side in ("calibration", "evaluation")]
    bundle = press(MINILM / "model.onnx", target, tmp_path, *data, "--max-drop", "0.01", "--metric", "cosine")
    samples = [dict(load_npz(path)) for path in sorted((MINILM / "evaluation").glob("*.npz"))[:SAMPLES]]
    original = cpus.native().run(MINILM / "model.onnx", samples, tmp_path)
    unmoved = cpus.native().run(bundle / "model.onnx", samples, tmp_path)
    moved = cpus.native().run(cpus.last_bits_moved(bundle / "model.onnx", tmp_path), samples, tmp_path)
    rounding = distances(unmoved, moved).max()
    for name, here, there in both(bundle, cpu, samples, tmp_path):
        assert distances(here, there).max() <= max(0.001, 1.5 * rounding), name
        assert distances(original, there).mean() <= 0.01, name


def distances(one: list[np.ndarray], other: list[np.ndarray]) -> np.ndarray:
    """1 - cosine of embeddings, which all have length 1."""
    return np.array([1 - float((a * b).sum()) for a, b in zip(one, other, strict=True)])
