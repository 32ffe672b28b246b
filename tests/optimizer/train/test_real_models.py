"""Real models, run by torch as ONNX Runtime runs them."""

import random
from pathlib import Path

import numpy as np
import pytest

from examples.ocr.lines import draw_text, random_text, to_tensor
from optimizer.train.interpreter import Interpreter, largest_difference
from scripts.from_wheel import take

RAPIDOCR = "rapidocr-onnxruntime", "rapidocr_onnxruntime/models/"


def text_line() -> np.ndarray:
    dice = random.Random(3)
    return to_tensor(draw_text(random_text(dice), dice)).reshape(1, 3, 48, -1)


def text_page() -> np.ndarray:
    """Lines among each other, of sizes that 32 divides."""
    return np.concatenate([text_line()[:, :, :, :320]] * 2, axis=2)


def file_bytes() -> np.ndarray:
    return np.frombuffer(Path(__file__).read_bytes()[:2048].ljust(2048), np.uint8).astype(np.int32)[None]


def sound() -> dict[str, np.ndarray]:
    """Half a second of noise."""
    state = np.zeros((1, 1, 128), np.float32)
    frames = np.random.default_rng(0).normal(size=(16, 576)).astype(np.float32)
    return {"input": frames / 10, "h": state, "c": state}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("package", "member", "feeds"),
    [
        (RAPIDOCR[0], RAPIDOCR[1] + "ch_PP-OCRv4_rec_infer.onnx", {"x": text_line()}),
        (RAPIDOCR[0], RAPIDOCR[1] + "ch_PP-OCRv4_det_infer.onnx", {"x": text_page()}),
        (RAPIDOCR[0], RAPIDOCR[1] + "ch_ppocr_mobile_v2.0_cls_infer.onnx", {"x": text_line()}),
        ("silero-vad", "silero_vad/data/silero_vad_16k_sequence.onnx", sound()),
        ("magika", "magika/models/standard_v3_3/model.onnx", {"bytes": file_bytes()}),
    ],
    ids=["rec", "det", "cls", "vad", "magika"],
)
def test_torch_answers_as_onnxruntime(
    tmp_path: Path, package: str, member: str, feeds: dict[str, np.ndarray]
) -> None:
    take(package, member, tmp_path / "model.onnx")
    model = (tmp_path / "model.onnx").read_bytes()
    assert largest_difference(Interpreter(model, saturates=False), model, [feeds]) < 1e-4
