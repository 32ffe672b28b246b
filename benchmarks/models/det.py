"""PP-OCRv4 text detection: a convolutional net that maps where text is, 4.7 MB, opset 12.

From the package rapidocr-onnxruntime. Data: pages of text lines rendered with Pillow, tilted a
little, with noise. Metric: intersection over union of the text's mask with the original's.

Usage: python -m benchmarks.models.det FOLDER
"""

import random
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.samples import Array, write_sets
from examples.ocr.lines import draw_text, random_text
from scripts.from_wheel import take

_SIDE = 320
_MEAN, _DEVIATION = (np.array(three, np.float32) for three in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))


def main(folder: Path) -> None:
    """Write the model and the sets."""
    member = "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx"
    take("rapidocr-onnxruntime", member, folder / "model.onnx")
    write_sets(folder, _pages(), {"calibration": 64, "evaluation": 240, "report": 200})


def _pages() -> Iterator[dict[str, Array]]:
    dice = random.Random(12)
    while True:
        grey = dice.randint(170, 255)
        page = Image.new("RGB", (_SIDE, _SIDE), (grey, grey, grey))
        top = dice.randint(0, 40)
        while top < _SIDE - 20:
            line = draw_text(random_text(dice), dice)
            scale = dice.uniform(0.4, 1.0)
            line = line.resize((round(line.width * scale), round(line.height * scale)))
            page.paste(line, (dice.randint(0, max(1, _SIDE - line.width)), top))
            top += line.height + dice.randint(2, 60)
        page = page.rotate(dice.uniform(-4, 4), fillcolor=(grey, grey, grey))
        pixels = (np.asarray(page, np.float32) / 255 - _MEAN) / _DEVIATION
        yield {"x": np.ascontiguousarray(pixels.transpose(2, 0, 1)[np.newaxis])}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
