"""MovieLens 100K (Harper and Konstan 2015), as the package recbole ships it: who watched what, and when.

`calibration` and `evaluation` are what `optimize --calibration/--evaluation module:function` takes: they
yield samples one at a time, a dict with the model's input ``history``: int64 [1, 50], the last films of a
person, oldest first, 0 where there were fewer. Those of the evaluation have ``labels``: what came next.
"""

import csv
import random
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from scripts.from_wheel import take

WORK = Path(__file__).parents[2] / "build" / "recommendation"
LONGEST = 50
_SHIPPED = "recbole/dataset_example/ml-100k/ml-100k"
_HELD_OUT = 5  # films at the end of each person's history
_CALIBRATION, _EVALUATION = 512, 2000

Sample = dict[str, npt.NDArray[np.int64]]


class Feedback(NamedTuple):
    """Films by number, from 1 on, and what each person watched, in the order of time."""

    titles: list[str]  # [0] is none
    histories: list[list[int]]


@cache
def feedback() -> Feedback:
    """What the package has; ratings are left out, for that a film was watched is the feedback."""
    for end in ("inter", "item"):
        take("recbole", f"{_SHIPPED}.{end}", WORK / f"ml-100k.{end}")
    titles = {row["item_id:token"]: row["movie_title:token_seq"] for row in _rows("item")}
    number = {item: index for index, item in enumerate(titles, 1)}
    # Films of the same second are in an order drawn by chance: by number, it would tell which one follows.
    dice = random.Random(0)
    by_user: dict[str, list[tuple[float, float, int]]] = {}
    for row in _rows("inter"):
        seen = (float(row["timestamp:float"]), dice.random(), number[row["item_id:token"]])
        by_user.setdefault(row["user_id:token"], []).append(seen)
    histories = [[film for _, _, film in sorted(by_user[user])] for user in sorted(by_user, key=int)]
    return Feedback(["", *titles.values()], histories)


def training() -> Iterator[tuple[list[int], int]]:
    """Each film of each person but the last ones, with what that person had watched before it."""
    for history in feedback().histories:
        known = history[:-_HELD_OUT]
        for at in range(1, len(known)):
            yield known[:at], known[at]


def calibration() -> Iterator[Sample]:
    """Histories as they were before the held-out films."""
    for history in feedback().histories[:_CALIBRATION]:
        yield {"history": padded(history[: -_HELD_OUT - 1])}


def evaluation() -> Iterator[Sample]:
    """The held-out films, each with the history before it; the people in an order drawn by chance."""
    samples = [
        {"history": padded(history[:at]), "labels": np.array([history[at]])}
        for history in feedback().histories
        for at in range(len(history) - _HELD_OUT, len(history))
    ]
    for index in np.random.default_rng(0).permutation(len(samples))[:_EVALUATION]:
        yield samples[index]


def padded(history: list[int]) -> npt.NDArray[np.int64]:
    """The last films as the model takes them: [1, 50]."""
    last = history[-LONGEST:]
    return np.array([[0] * (LONGEST - len(last)) + last], np.int64)


def hit_rate(items: npt.NDArray[np.int64], labels: npt.NDArray[np.int64]) -> float:
    """In which share of the samples the film that came next is among those recommended.

    ``items``: [samples, 1, 20]; ``labels``: [samples, 1].
    """
    return float((items.reshape(len(labels), -1) == labels.reshape(-1, 1)).any(axis=1).mean())


def _rows(end: str) -> Iterator[dict[str, str]]:
    with (WORK / f"ml-100k.{end}").open(encoding="utf-8") as file:
        yield from csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
