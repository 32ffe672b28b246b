"""`optimize --train`: the trained form is taken only if it is better, and else the bundle is as it was."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from optimizer.press import Options, Pressed, press
from tests.optimizer.conftest import Make

# LayerNormalization keeps the neurons from being pruned: here only int8 is trained.
TEXT = """agraph (float[n, 16, 256] x) => (float[n, 16, 32] y) {
    a = MatMul (x, w1) b = LayerNormalization (a, s, b1) c = Relu (b)
    d = MatMul (c, w2) f = LayerNormalization (d, s, b2) e = Relu (f) y = MatMul (e, w3) }"""


def inputs(rng: np.random.Generator, count: int) -> np.ndarray:
    """Of few dimensions, as real ones are: so there is something to learn about their directions."""
    directions = np.random.default_rng(4).normal(size=(12, 256)) / 4
    return (rng.normal(size=(count, 16, 12)) @ directions).astype(np.float32)


Optimize = Callable[..., tuple[Pressed, list[str]]]


@pytest.fixture
def optimize(make: Make, tmp_path: Path) -> Optimize:
    """Press a network that int8 makes faster; the bundle, and what was told."""
    rng = np.random.default_rng(3)
    shapes = {"w1": (256, 512), "w2": (512, 512), "w3": (512, 32)}
    weights = {name: rng.normal(size=shape) ** 3 / 50 for name, shape in shapes.items()}
    model = make(
        TEXT,
        s=np.ones(512, np.float32),
        b1=rng.normal(size=512).astype(np.float32),
        b2=rng.normal(size=512).astype(np.float32),
        **{name: array.astype(np.float32) for name, array in weights.items()},
    )
    onnx.save(model, tmp_path / "model.onnx")
    for name, count in (("calibration", 128), ("evaluation", 256), ("few", 8)):
        np.savez(tmp_path / f"{name}.npz", x=2 + inputs(rng, count))

    def run(calibration: str = "calibration", **more: Any) -> tuple[Pressed, list[str]]:
        lines: list[str] = []
        options = Options(
            model=tmp_path / "model.onnx",
            calibration=str(tmp_path / f"{calibration}.npz"),
            evaluation=str(tmp_path / "evaluation.npz"),
            out=tmp_path / "bundles",
            measurements=tmp_path / "measurements",
            name="model",
            max_drop=0.01,
            metric="cosine",
            time_budget=30 + more.get("train", 0),
            **more,
        )
        return press(options, lines.append), lines

    return run


def passes(pressed: Pressed) -> list[str]:
    return [applied.name for applied in pressed.manifest.passes]


def test_a_trained_form_is_a_candidate_where_it_is_surely_better(optimize: Optimize) -> None:
    trained, lines = optimize(train=20)
    (line,) = [line for line in lines if line.startswith("training: cosine")]
    low = float(line.partition("[")[2].partition(",")[0])
    assert any(", trained: " in line for line in lines) == (low > 0)
    assert low > 0 or "Train" not in passes(trained)
    assert trained.manifest.metric.drop <= 0.01
    # The same command again trains nothing, and writes the same bundle.
    again, lines = optimize(train=20)
    assert again.folder == trained.folder
    assert not [line for line in lines if line.startswith("training, block")]


def test_too_little_data_to_train_on_leaves_the_untrained_bundle(optimize: Optimize) -> None:
    plain, _ = optimize(calibration="few")
    left, lines = optimize(calibration="few", train=20)
    print("\n".join(lines))
    assert [line for line in lines if "it needs 16 calibration samples" in line]
    assert "Train" not in passes(left)
    assert left.folder == plain.folder
