"""Text lines rendered by Pillow: what a recogniser reads in practice, made here instead of downloaded.

`calibration` and `evaluation` are what `optimize --calibration/--evaluation module:function` takes: they
yield samples one at a time, a dict with the model's input ``x``: float32 [1, 3, 48, 320], RGB in [-1, 1].
"""

import random
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

HEIGHT, WIDTH = 48, 320
CALIBRATION_LINES, EVALUATION_LINES = 256, 400
_WORDS = """
invoice total amount due order number shipping address customer account balance payment received thank you
for your purchase subtotal tax discount quantity price item description date reference contract signed
delivery parcel weight origin Berlin Lisbon Osaka Toronto Nairobi flight gate seat boarding platform train
coffee bread cheese apples olive oil water sugar flour receipt cash card change open closed Monday Friday
""".split()  # noqa: SIM905 - sixty words are read more easily as a text


def draw_text(text: str, dice: random.Random) -> Image.Image:
    """One line of dark text on light paper, its size, place, grey levels and noise drawn by ``dice``."""
    size = dice.randint(22, 34)
    while (font := ImageFont.load_default(size)).getlength(text) > WIDTH - 24:
        size -= 1
    width = max(60, min(WIDTH, int(font.getlength(text)) + dice.randint(8, 24)))
    paper, ink = dice.randint(190, 255), dice.randint(0, 90)
    image = Image.new("RGB", (width, HEIGHT), (paper, paper, max(0, paper - dice.randint(0, 30))))
    draw = ImageDraw.Draw(image)
    draw.text((dice.randint(2, 8), (HEIGHT - size) // 2 - dice.randint(0, 4)), text, (ink, ink, ink), font)
    noise = np.random.default_rng(dice.getrandbits(32)).normal(0, dice.uniform(0, 12), (HEIGHT, width, 1))
    return Image.fromarray((np.asarray(image) + noise).clip(0, 255).astype(np.uint8))


def random_text(dice: random.Random) -> str:
    """Words, numbers, prices and dates, at most as long as a line holds."""
    kind = dice.randrange(4)
    if kind == 0:
        return f"{dice.choice(_WORDS).title()} {dice.randint(1, 99999)}"
    if kind == 1:
        return f"{dice.choice(_WORDS)}: {dice.randint(1, 4000)}.{dice.randint(0, 99):02} EUR"
    if kind == 2:
        day, month, year = dice.randint(1, 28), dice.randint(1, 12), dice.randint(2010, 2029)
        return f"{day:02}.{month:02}.{year} {dice.choice(_WORDS)}"
    return " ".join(dice.choice(_WORDS) for _ in range(dice.randint(1, 3)))


def to_tensor(image: Image.Image) -> npt.NDArray[np.float32]:
    """The recogniser's input for one picture: float32 [1, 3, 48, 320], padded on the right with zeros."""
    width = max(1, min(WIDTH, round(image.width * HEIGHT / image.height)))
    pixels = np.asarray(image.convert("RGB").resize((width, HEIGHT)), np.float32)
    tensor = np.zeros((1, 3, HEIGHT, WIDTH), np.float32)
    tensor[0, :, :, :width] = (pixels / 127.5 - 1).transpose(2, 0, 1)
    return tensor


def to_text(scores: npt.NDArray[np.float32], characters: list[str]) -> str:
    """The text of one line by greedy CTC: repeated classes are one, class 0 is nothing (Graves et al. 2006).

    Args:
        scores: [steps, classes] of one picture.
        characters: the model's own, class 1 first; a blank is the last class.
    """
    classes = scores.argmax(axis=-1)
    changed = np.r_[True, classes[1:] != classes[:-1]]
    letters = ["", *characters, " "]
    return "".join(letters[index] for index in classes[changed & (classes != 0)])


def calibration() -> Iterator[dict[str, npt.NDArray[np.float32]]]:
    """Lines to find the ranges of activations on, and by which the monitor knows what is usual."""
    return _lines(CALIBRATION_LINES, seed=1)


def evaluation() -> Iterator[dict[str, npt.NDArray[np.float32]]]:
    """Other lines, to choose and to verify on."""
    return _lines(EVALUATION_LINES, seed=2)


def _lines(count: int, seed: int) -> Iterator[dict[str, npt.NDArray[np.float32]]]:
    dice = random.Random(seed)
    for _ in range(count):
        yield {"x": to_tensor(draw_text(random_text(dice), dice))}
