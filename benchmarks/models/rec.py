"""PP-OCRv4 text recognition: convolutions with attention, 10.9 MB, opset 12, weights as Constant nodes.

From the package rapidocr-onnxruntime. Data: text lines rendered with Pillow, with noise (as in examples/ocr).
Metric: the share of time steps whose best character is the original's; an all-blank output scores 0.46.

Usage: python -m benchmarks.models.rec FOLDER
"""

import itertools
import random
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.samples import Array, write_sets, write_training
from examples.ocr.lines import draw_text, random_text, to_tensor
from scripts.from_wheel import take


def main(folder: Path) -> None:
    """Write the model and the sets."""
    member = "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx"
    take("rapidocr-onnxruntime", member, folder / "model.onnx")
    write_sets(folder, _lines(11), {"calibration": 128, "evaluation": 800, "report": 600})
    write_training(folder, itertools.islice(_lines(13), 900))


def _lines(seed: int) -> Iterator[dict[str, Array]]:
    dice = random.Random(seed)
    while True:
        yield {"x": to_tensor(draw_text(random_text(dice), dice))}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
