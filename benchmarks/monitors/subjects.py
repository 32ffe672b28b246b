"""The models and their populations, from which requests are drawn one after the other.

A population is a distribution, not a sample: a digit or a tumour is drawn from those at hand and moved part
of the way to a near one of its class, diamonds are drawn without repeat, a sentence is one of those at hand.
Baseline and stream are drawn alike, so that clean requests are exchangeable with the baseline by
construction: resampling one half against a baseline of the other half would be a drift from the first request
on, if a small one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.environments import BENCH

DATA = BENCH / "monitor"

Array = npt.NDArray[Any]
Batch = dict[str, Array]
Random = np.random.Generator


@dataclass(frozen=True)
class Subject:
    """A model and its population: ``draw(random, count, where)`` gives requests and labels."""

    name: str
    columns: tuple[str, ...]
    draw: Callable[[Random, int, Callable[[Array], Array] | None], tuple[Array, Array]]
    answer: Callable[[Array], Batch]
    as_inputs: Callable[[Array], Batch]


def _load(name: str) -> dict[str, Array]:
    with np.load(DATA / f"{name}.npz") as archive:  # noqa: TID251 - written by data.py
        return dict(archive)


def _forward(data: Mapping[str, Array], x: Array) -> Array:
    hidden = np.nan_to_num((x - data["centre"]) / data["scale"])
    return np.maximum(hidden @ data["w0"] + data["b0"], 0) @ data["w1"] + data["b1"]


def _near(data: Mapping[str, Array], reach: float) -> Callable[..., tuple[Array, Array]]:
    """Draws from those at hand, moved up to ``reach`` of the way to one of the three nearest of the class."""
    x, y = data["x"], data["y"]
    z = (x - data["centre"]) / data["scale"]
    gaps = ((z[:, None] - z[None]) ** 2).sum(axis=2) + 1e9 * (y[:, None] != y[None])
    nearest = np.argsort(gaps, axis=1)[:, 1:4]

    def draw(
        random: Random, count: int, where: Callable[[Array], Array] | None = None
    ) -> tuple[Array, Array]:
        weights = np.ones(len(x)) if where is None else where(y).astype(float)
        chosen = random.choice(len(x), count, p=weights / weights.sum())
        other = nearest[chosen, random.integers(0, 3, count)]
        step = random.random((count, 1)) * reach
        return x[chosen] + step * (x[other] - x[chosen]), y[chosen]

    return draw


def _without_repeat(data: Mapping[str, Array]) -> Callable[..., tuple[Array, Array]]:
    """Draws that do not repeat as long as one ``Random`` after the other draws a baseline and its stream."""
    x, y = data["x"], data["y"]
    last: list[tuple[Random, list[int]]] = []

    def draw(
        random: Random, count: int, where: Callable[[Array], Array] | None = None
    ) -> tuple[Array, Array]:
        if not last or last[0][0] is not random:
            last[:] = [(random, random.permutation(len(x)).tolist())]
        order = last[0][1]
        taken: list[int] = []
        skipped: list[int] = []
        while len(taken) < count:
            if not order:
                order += random.permutation(len(x)).tolist()
            index = order.pop()
            weight = 1.0 if where is None else float(where(np.array([x[index]]))[0])
            (taken if random.random() < weight else skipped).append(index)
        return x[taken], y[taken]

    return draw


def _digits() -> Subject:
    data = _load("digits")

    def answer(x: Array) -> Batch:
        scores = _forward(data, x)
        shares = np.exp(scores - scores.max(axis=1, keepdims=True))
        return {"probabilities": (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32)}

    return Subject("digits", tuple(f"x[{i}]" for i in range(64)), _near(data, 0.5), answer, _as_x)


def _cancer() -> Subject:
    data = _load("cancer")

    def answer(x: Array) -> Batch:
        p = 1 / (1 + np.exp(-np.clip(_forward(data, x), -30, 30)))
        return {"probabilities": np.concatenate([1 - p, p], axis=1).astype(np.float32)}

    return Subject("cancer", tuple(f"x[{i}]" for i in range(30)), _near(data, 1.0), answer, _as_x)


def _diamonds() -> Subject:
    data = _load("diamonds")
    return Subject(
        "diamonds",
        tuple(f"x[{i}]" for i in range(9)),
        _without_repeat(data),
        lambda x: {"price": np.exp(np.clip(_forward(data, x), -20, 20)).astype(np.float32)},
        _as_x,
    )


def _texts() -> Subject:
    """A request is the number of a sentence; the other language's begin at ``len(en)``."""
    data = _load("texts")
    ids, lengths, vectors = (
        np.concatenate([data[f"en_{part}"], data[f"de_{part}"]]) for part in ("ids", "lengths", "vectors")
    )
    count = len(data["en_ids"])

    def draw(random: Random, size: int, where: object = None) -> tuple[Array, Array]:  # noqa: ARG001
        chosen = random.integers(0, count, size)
        return chosen[:, None].astype(float), chosen

    def as_inputs(x: Array) -> Batch:
        return {"input_ids": [ids[int(i), : lengths[int(i)]] for i in x[:, 0]]}  # type: ignore[dict-item]

    return Subject(
        "texts", (), draw, lambda x: {"vector": vectors[x[:, 0].astype(int)].astype(np.float32)}, as_inputs
    )


def _as_x(x: Array) -> Batch:
    return {"x": x.astype(np.float32)}


_SUBJECTS: dict[str, Callable[[], Subject]] = {
    "digits": _digits,
    "cancer": _cancer,
    "diamonds": _diamonds,
    "texts": _texts,
}
_made: dict[str, Subject] = {}


def subject(name: str) -> Subject:
    """By name; made once."""
    if name not in _made:
        _made[name] = _SUBJECTS[name]()
    return _made[name]


def languages() -> tuple[int, int]:
    """How many sentences of each language there are."""
    data = _load("texts")
    return len(data["en_ids"]), len(data["de_ids"])
