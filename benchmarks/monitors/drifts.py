"""The streams: requests that from some request on are changed, each in one way.

``developed`` are those on which bets, weights and the rule that names a column were tried; all others were
run when these stood.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.monitors.subjects import Array, Random, languages, subject

CHANGE = 1000  # requests before the change, and up to a window more, so that it falls on any phase of one
PHASE = 200
RAMP = 500  # requests over which a gradual change comes


@dataclass(frozen=True)
class Drift:
    """One way in which requests change.

    ``change(random, x)`` gives the changed requests; ``where`` says which of the population still come, by
    label; ``share`` of the requests is changed.
    """

    subject: str
    family: str
    title: str
    developed: bool
    change: Callable[[Random, Array], Array] | None = None
    where: Callable[[Array], Array] | None = None
    share: float = 1.0
    column: int | None = None
    gradual: bool = False

    @property
    def name(self) -> str:
        """In one line."""
        return f"{self.subject}, {self.title}{', gradually' if self.gradual else ''}"


def stream(drift: Drift, random: Random, after: int) -> tuple[Array, Array, int]:
    """Requests and labels before and after the change, and the number of the first changed one."""
    source = subject(drift.subject)
    at = CHANGE + int(random.integers(0, PHASE))
    before, labels = source.draw(random, at, None)
    coming = np.minimum((np.arange(after) + 1) / RAMP, 1.0) if drift.gradual else np.ones(after)
    changed = random.random(after) < coming * drift.share
    x, y = source.draw(random, after, None)
    if changed.any():
        count = int(changed.sum())
        if drift.where is not None:
            x[changed], y[changed] = source.draw(random, count, drift.where)
        if drift.change is not None:
            x[changed] = drift.change(random, x[changed])
    return np.concatenate([before, x]), np.concatenate([labels, y]), at


def scaled(column: int, factor: float) -> Callable[[Random, Array], Array]:
    """One column times a factor."""

    def change(random: Random, x: Array) -> Array:  # noqa: ARG001
        return np.concatenate([x[:, :column], x[:, column : column + 1] * factor, x[:, column + 1 :]], axis=1)

    return change


def missing(column: int, share: float) -> Callable[[Random, Array], Array]:
    """A share of one column is missing."""

    def change(random: Random, x: Array) -> Array:
        x = x.copy()
        x[random.random(len(x)) < share, column] = np.nan
        return x

    return change


def noise(spread: float) -> Callable[[Random, Array], Array]:
    """Normal noise on every pixel, cut off at black and white."""
    return lambda random, x: np.clip(x + spread * random.standard_normal(x.shape), 0, 16)


def rotation(degrees: float) -> Callable[[Random, Array], Array]:
    """The 8 x 8 picture turned about its centre, bilinearly."""
    angle = np.deg2rad(degrees)
    rows, columns = np.mgrid[0:8, 0:8] - 3.5
    source_r = np.cos(angle) * rows - np.sin(angle) * columns + 3.5
    source_c = np.sin(angle) * rows + np.cos(angle) * columns + 3.5
    weights = np.zeros((64, 64))
    for target, (r, c) in enumerate(zip(source_r.ravel(), source_c.ravel(), strict=True)):
        for row in (int(np.floor(r)), int(np.floor(r)) + 1):
            for column in (int(np.floor(c)), int(np.floor(c)) + 1):
                if 0 <= row < 8 and 0 <= column < 8:
                    weights[row * 8 + column, target] += (1 - abs(r - row)) * (1 - abs(c - column))
    return lambda random, x: x @ weights  # noqa: ARG005


def shuffled(random: Random, x: Array) -> Array:
    """Foreign requests: each column from another request, so that every column alone is as ever."""
    return np.stack([random.permutation(column) for column in x.T], axis=1)


def negative(random: Random, x: Array) -> Array:  # noqa: ARG001
    """Foreign pictures: white on black."""
    return 16 - x


def textures(random: Random, x: Array) -> Array:
    """Foreign pictures: smooth random ones of about the brightness of digits."""
    grid = random.random((len(x), 4, 4))
    return np.clip(np.repeat(np.repeat(grid, 2, axis=1), 2, axis=2).reshape(len(x), 64) * 20 - 5, 0, 16)


def other_language(random: Random, x: Array) -> Array:
    """Sentences of the other language."""
    count, others = languages()
    return random.integers(count, count + others, len(x))[:, None].astype(float)


def _not(label: int) -> Callable[[Array], Array]:
    return lambda y: y != label


def _times(label: int, factor: float) -> Callable[[Array], Array]:
    return lambda y: np.where(y == label, factor, 1.0)


def _of(column: int, *values: float) -> Callable[[Array], Array]:
    return lambda x: np.isin(x[:, column], values)


UNIT, HALF, ROTATION, LANGUAGE = "unit change", "half missing", "rotation", "language switch"
TENTH, CLASS, FOREIGN, NOISE, SUBSET = (
    "column times 1.1",
    "class missing or times 3",
    "10 % foreign",
    "noise",
    "subset",
)
GOALS = {UNIT: 100, HALF: 100, ROTATION: 100, LANGUAGE: 100, TENTH: 150, CLASS: 300, FOREIGN: 500}

# Diamonds: carat, cut, color, clarity, depth, table, x, y, z. Cancer: radius, texture, perimeter, area, ...
DRIFTS = (
    Drift("diamonds", UNIT, "carat in milligrams", True, scaled(0, 200), column=0),
    Drift("diamonds", UNIT, "depth as a fraction", False, scaled(4, 0.01), column=4),
    Drift("diamonds", UNIT, "x in inches", True, scaled(6, 1 / 25.4), column=6),
    Drift("diamonds", UNIT, "y in inches", False, scaled(7, 1 / 25.4), column=7),
    Drift("cancer", UNIT, "worst perimeter in inches", False, scaled(22, 1 / 25.4), column=22),
    Drift("cancer", UNIT, "area in other units", False, scaled(3, 0.01), column=3),
    Drift(
        "cancer",
        UNIT,
        "radius in inches, not millimetres",
        False,
        scaled(0, 1 / 25.4),
        column=0,
        gradual=True,
    ),
    Drift("diamonds", HALF, "half of depth missing", True, missing(4, 0.5), column=4),
    Drift("cancer", HALF, "half of smoothness missing", False, missing(4, 0.5), column=4),
    Drift("digits", ROTATION, "turned by 30 degrees", True, rotation(30)),
    Drift("digits", ROTATION, "turned by 12 degrees", False, rotation(12)),
    Drift("digits", ROTATION, "turned by 30 degrees", False, rotation(30), gradual=True),
    Drift("texts", LANGUAGE, "German for English", False, other_language),
    Drift("texts", LANGUAGE, "German for English", False, other_language, gradual=True),
    Drift("diamonds", TENTH, "carat times 1.1", True, scaled(0, 1.1), column=0),
    Drift("diamonds", TENTH, "depth times 1.1", True, scaled(4, 1.1), column=4),
    Drift("diamonds", TENTH, "z times 1.1", True, scaled(8, 1.1), column=8),
    Drift("diamonds", TENTH, "table times 1.1", False, scaled(5, 1.1), column=5),
    Drift("cancer", TENTH, "radius times 1.1", True, scaled(0, 1.1), column=0),
    Drift("diamonds", TENTH, "y times 1.1", False, scaled(7, 1.1), column=7),
    Drift("cancer", TENTH, "smoothness times 1.1", False, scaled(4, 1.1), column=4),
    Drift("cancer", TENTH, "concavity times 1.1", False, scaled(6, 1.1), column=6),
    Drift("cancer", TENTH, "worst texture times 1.1", False, scaled(21, 1.1), column=21, gradual=True),
    Drift("cancer", TENTH, "texture times 1.1", False, scaled(1, 1.1), column=1),
    Drift("cancer", TENTH, "worst area times 1.1", False, scaled(23, 1.1), column=23),
    Drift("digits", CLASS, "no threes", True, where=_not(3)),
    Drift("digits", CLASS, "three times as many zeros", True, where=_times(0, 3.0)),
    Drift("digits", CLASS, "no eights", False, where=_not(8)),
    Drift("digits", CLASS, "three times as many ones", False, where=_times(1, 3.0)),
    Drift("digits", CLASS, "three times as many ones", False, where=_times(1, 3.0), gradual=True),
    Drift("cancer", CLASS, "three times as many malignant", False, where=_times(0, 3.0)),
    Drift("digits", FOREIGN, "a tenth negatives", True, negative, share=0.1),
    Drift("digits", FOREIGN, "a tenth textures", False, textures, share=0.1),
    Drift("diamonds", FOREIGN, "a tenth shuffled", False, shuffled, share=0.1),
    Drift("cancer", FOREIGN, "a tenth shuffled", False, shuffled, share=0.1),
    Drift("texts", FOREIGN, "a tenth German", False, other_language, share=0.1),
    Drift("digits", NOISE, "little noise", True, noise(1.5)),
    Drift("digits", NOISE, "much noise", False, noise(4)),
    Drift("digits", NOISE, "much noise", False, noise(4), gradual=True),
    Drift("diamonds", SUBSET, "only ideal cuts", True, where=_of(1, 4)),
    Drift("diamonds", SUBSET, "no D and E", False, where=lambda x: x[:, 2] > 1),
)
