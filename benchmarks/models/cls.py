"""PP-OCRv4 text direction (upside down or not): 0.6 MB of convolutions.

From the package rapidocr-onnxruntime. Data: the text lines of rec.py, every other one turned by 180 degrees.
Metric: agreement with the original.

Usage: python -m benchmarks.models.cls FOLDER
"""

import random
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.samples import Array, write_sets
from examples.ocr.lines import draw_text, random_text, to_tensor
from scripts.from_wheel import take

_WIDTH = 192


def main(folder: Path) -> None:
    """Write the model and the sets."""
    member = "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx"
    take("rapidocr-onnxruntime", member, folder / "model.onnx")
    write_sets(folder, _lines(), {"calibration": 64, "evaluation": 400, "report": 200})


def _lines() -> Iterator[dict[str, Array]]:
    dice = random.Random(12)
    while True:
        line = to_tensor(draw_text(random_text(dice), dice))[..., :_WIDTH]
        turned = line[..., ::-1, ::-1] if dice.random() < 0.5 else line
        yield {"x": np.ascontiguousarray(turned)}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
