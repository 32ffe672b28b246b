"""`optimize --train` from outside: whatever ends the training, there is a bundle, and one sentence why."""

import os
import pty
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from bundle.folder import verify
from optimizer.runtime import optimised_session
from tests.optimizer.conftest import Make

TEXT = """agraph (float[n, l, 256] x) => (float[n, l, 32] y) {
    a = MatMul (x, w1) b = Add (a, b1) c = Relu (b) d = MatMul (c, w2)
    e = ACTIVATION (d) y = MatMul (e, w3) }"""

Optimize = Callable[..., tuple[int, list[str]]]


def inputs(rng: np.random.Generator, count: int, length: int = 16) -> np.ndarray:
    directions = np.random.default_rng(4).normal(size=(12, 256)) / 4
    return (2 + rng.normal(size=(count, length, 12)) @ directions).astype(np.float32)


def answers_of(model: onnx.ModelProto) -> Callable[[np.ndarray], np.ndarray]:
    session = optimised_session(model.SerializeToString())
    return lambda x: np.asarray(session.run(["y"], {"x": x})[0])


@pytest.fixture
def optimize(make: Make, tmp_path: Path) -> Optimize:
    """Run the command on a terminal; its status, and the lines there. ``at(line, process)`` sees each."""
    rng = np.random.default_rng(3)
    shapes = {"w1": (256, 512), "w2": (512, 512), "w3": (512, 32)}
    weights = {name: (rng.normal(size=shape) ** 3 / 50).astype(np.float32) for name, shape in shapes.items()}
    weights["b1"] = rng.normal(size=512).astype(np.float32)
    several, others = inputs(rng, 128), inputs(rng, 128)
    several[7] *= 3  # the one whose answers a logarithm makes NaN
    plain = make(TEXT.replace("ACTIVATION", "Relu"), **weights)
    least = [
        float(answer.min())
        for answer in map(answers_of(plain), (others, several[:7], several[8:], several[7:8]))
    ]
    assert least[3] < min(least[:3])
    weights["shift"] = np.float32(-(least[3] + min(least[:3])) / 2)
    logarithm = TEXT.replace("y = MatMul (e, w3)", "m = MatMul (e, w3) s = Add (m, shift) y = Log (s)")
    # Of what LayerNormalization reads nothing can be pruned.
    normed = TEXT.replace("c = Relu (b)", "c = LayerNormalization (b, ones)").replace(
        "ACTIVATION (d)", "LayerNormalization (d, ones)"
    )
    weights["ones"] = np.ones(512, np.float32)
    texts = {
        "relu": TEXT,
        "logarithm": logarithm,
        "normed": normed,
        "unknown": TEXT.replace("ACTIVATION", "ThresholdedRelu"),
    }
    for name, text in texts.items():
        used = {key: array for key, array in weights.items() if key in text}
        onnx.save(make(text.replace("ACTIVATION", "Relu"), **used), tmp_path / f"{name}.onnx")
    for name, array in (
        ("all", several),
        ("few", several[:8]),
        ("evaluation", others),
        ("long", inputs(rng, 24, 1024)),
        ("long2", inputs(rng, 24, 1024)),
    ):
        np.savez(tmp_path / f"{name}.npz", x=array)
    np.savez(tmp_path / "labelled.npz", x=several, labels=np.full((128, 16), 32))

    def run(
        *more: str,
        model: str = "relu",
        calibration: str = "all",
        evaluation: str = "evaluation",
        at: Callable[[str, "subprocess.Popen[bytes]"], None] = lambda *_: None,
    ) -> tuple[int, list[str]]:
        arguments = [
            *(str(tmp_path / f"{model}.onnx"), "--calibration", str(tmp_path / f"{calibration}.npz")),
            *(
                "--evaluation",
                str(tmp_path / f"{evaluation}.npz"),
                "--metric",
                "cosine",
                "--max-drop",
                "0.01",
            ),
            *("-o", str(tmp_path / "out"), "--measurements", str(tmp_path / "measurements"), *more),
        ]
        ours, theirs = pty.openpty()
        # On a terminal that cannot redraw, each line comes once.
        environment = {**os.environ, "TERM": "dumb", "COLUMNS": "250", "LINES": "50", "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(
            [sys.executable, "-m", "coldpress.optimize", *arguments],
            stdout=theirs,
            stderr=theirs,
            env=environment,
        )
        os.close(theirs)
        lines = []
        with os.fdopen(ours, "r", encoding="utf-8", errors="replace", newline="\n") as terminal:
            try:
                for line in terminal:
                    lines.append(line.strip())
                    at(line, process)
            except OSError:  # the other end is closed
                pass
        return process.wait(60), lines

    return run


def bundles(folder: Path) -> list[Path]:
    return [path.parent for path in folder.glob("out/*/*/manifest.json")]


def assert_pressed_untrained(result: tuple[int, list[str]], tmp_path: Path, sentence: str) -> None:
    status, lines = result
    print("\n".join(lines))
    assert status == 0
    assert any(line.startswith("note") and sentence in line for line in lines)
    assert not any("Traceback" in line for line in lines)
    (folder,) = bundles(tmp_path)
    names = [applied.name for applied in verify(folder).passes]
    assert names
    assert "Train" not in names


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ({"calibration": "few"}, "training is left out: it needs 16 calibration samples"),
        ({"model": "logarithm"}, "training is left out: the original gives NaN or infinity at y."),
        ({"model": "unknown"}, "training is left out: it knows no ThresholdedRelu."),
        (
            {"calibration": "labelled", "weight": "0.5"},
            "a calibration label is outside 0 to 31, the classes of the model's output y.",
        ),
    ],
)
def test_what_cannot_be_trained_is_pressed_untrained(
    optimize: Optimize, tmp_path: Path, how: dict[str, str], sentence: str
) -> None:
    how = dict(how)
    weight = how.pop("weight", "0")
    assert_pressed_untrained(optimize("--train", "20", "--labels-weight", weight, **how), tmp_path, sentence)


def test_a_machine_with_too_little_memory_presses_untrained(optimize: Optimize, tmp_path: Path) -> None:
    def limit(line: str, process: "subprocess.Popen[bytes]") -> None:
        if line.strip().startswith("training: ") and not limited:
            pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[0])
            most = pages * resource.getpagesize() + 160 * 1024**2
            resource.prlimit(process.pid, resource.RLIMIT_AS, (most, most))
            limited.append(line)

    limited: list[str] = []

    assert_pressed_untrained(
        optimize("--train", "12", model="normed", calibration="long", evaluation="long2", at=limit),
        tmp_path,
        "training is left out: this machine has too little memory for it.",
    )


def test_ctrl_c_while_training_leaves_the_best_so_far_and_a_rerun_goes_on(
    optimize: Optimize, tmp_path: Path
) -> None:
    def interrupt(line: str, process: "subprocess.Popen[bytes]") -> None:
        if "training, block 1 of" in line and not interrupted:
            interrupted.append(line)
            process.send_signal(signal.SIGINT)

    interrupted: list[str] = []
    status, lines = optimize("--train", "12", at=interrupt)
    print("\n".join(lines))
    (folder,) = bundles(tmp_path)
    assert status == 130
    assert f"optimize: error: interrupted: the best so far is in {folder}." in lines[-1]
    manifest = verify(folder)
    assert manifest.passes
    assert manifest.metric.drop <= 0.01
    assert "Train" not in [applied.name for applied in manifest.passes]
    status, lines = optimize("--train", "12")
    print("\n".join(lines))
    assert status == 0
    blocks = [line for line in lines if "training, block" in line]
    assert blocks
    assert not any("block 1 of" in line for line in blocks)
    (looked, *_) = [line for line in lines if "training, all at once, 0%" in line]
    assert ", cosine " in looked


def test_time_to_train_is_part_of_the_time_budget(optimize: Optimize, tmp_path: Path) -> None:
    status, lines = optimize("--train", "20", "--time-budget", "20")
    assert status == 2
    assert lines[-1].endswith(
        "--train 20 leaves no time to search within --time-budget 20: give more time, or less to training."
    )


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (("--labels-weight", "1"), "--labels-weight is for training: give --train SECONDS as well."),
        (("--labels-weight", "-1"), "--labels-weight is -1.0, but a weight is 0 or more: 0.5."),
        (
            ("--labels-weight", "1", "--train", "9"),
            "--labels-weight needs labels in the calibration data: "
            "put 'labels' beside its inputs, or leave the option out.",
        ),
    ],
)
def test_labels_that_cannot_count_are_refused(
    optimize: Optimize, tmp_path: Path, more: tuple[str, ...], sentence: str
) -> None:
    status, lines = optimize(*more)
    assert status == 2
    assert lines == [f"optimize: error: {sentence}"]
    assert not bundles(tmp_path)
