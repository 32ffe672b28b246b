"""Text lines, every other one upside down: what the direction classifier tells apart."""

import random
from pathlib import Path

import numpy as np
from PIL import Image

from examples.ocr.lines import HEIGHT, draw_text, random_text

WIDTH = 192


def write_samples(folder: Path) -> None:
    """Write calibration.npz and evaluation.npz: x float32 [samples, 3, 48, 192]."""
    for name, count, seed in (("calibration", 24, 11), ("evaluation", 80, 12)):
        dice = random.Random(seed)
        samples = [_sample(dice, turned=index % 2 == 1) for index in range(count)]
        np.savez(folder / f"{name}.npz", x=np.stack(samples))


def _sample(dice: random.Random, *, turned: bool) -> np.ndarray:
    image = draw_text(random_text(dice), dice).resize((WIDTH, HEIGHT))
    if turned:
        image = image.transpose(Image.Transpose.ROTATE_180)
    return (np.asarray(image, np.float32) / 127.5 - 1).transpose(2, 0, 1)
