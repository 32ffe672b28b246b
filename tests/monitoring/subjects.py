"""Requests and answers of several kinds of models, drawn alike for a baseline and for what comes after."""

import numpy as np


def table(rng, count):
    """Numbers that go together, a heavy tail, missing values, small integers and a class."""
    common = rng.normal(size=(count, 1))
    x = common + 0.3 * rng.normal(size=(count, 5))
    x[:, 3] = rng.standard_cauchy(count)
    x[:, 4] = np.where(rng.random(count) < 0.05, np.nan, x[:, 4])
    scores = np.stack([x[:, 0], -x[:, 0], x[:, 1] - 1], axis=1)
    shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    kind = rng.choice(np.array(["red", "green", "blue"], dtype=object), count, p=[0.5, 0.3, 0.2])
    return (
        {"x": x.astype(np.float32), "kind": kind[:, None], "rooms": rng.integers(1, 7, (count, 1))},
        {"p": shares.astype(np.float32), "label": shares.argmax(axis=1)},
    )


def pictures(rng, count):
    x = rng.normal(size=(count, 3, 32, 40)).cumsum(axis=3).astype(np.float32)
    return {"image": x}, {"y": x.mean(axis=(2, 3))}


def tokens(rng, count):
    rows = [np.minimum(rng.zipf(1.5, rng.integers(3, 40)), 30_000) for _ in range(count)]
    return {"ids": rows}, {"vector": rng.normal(size=(count, 384)).astype(np.float32)}


def texts(rng, count):
    words = ["the", "cat", "sat", "on", "a", "mat", "and", "slept", "well"]
    rows = np.array([" ".join(rng.choice(words, rng.integers(3, 9))) for _ in range(count)], dtype=object)
    return {"text": rows[:, None]}, {"score": rng.random((count, 1)).astype(np.float32)}


def sound(rng, count):
    rows = [rng.normal(size=(1, rng.integers(100, 300))).astype(np.float32) for _ in range(count)]
    return {"wave": rows}, {"score": rng.random((count, 2)).astype(np.float32)}


SUBJECTS = {"table": table, "pictures": pictures, "tokens": tokens, "texts": texts, "sound": sound}


def some(tensors, chosen):
    """The requests with these numbers."""
    return {
        name: rows[chosen]
        if isinstance(rows, np.ndarray)
        else [rows[i] for i in np.arange(len(rows))[chosen]]
        for name, rows in tensors.items()
    }
