"""The baseline, from the calibration data."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from monitoring.baseline import MOST_SCORES, PROBABILITIES, Baseline, Numbers, Reliability
from monitoring.binning import BINS, Bins, cut, place
from monitoring.features import LARGEST, Feature, Features, Rows, Side, Tensor, describe, extract, names
from monitoring.repeats import hash_rows
from monitoring.scoring import score, score_names
from monitoring.seasons import COUNT, LEAST, Seasons, season_of
from monitoring.space import Learned, learn

_LEAST_LEARNED = 30
_MOST_LEARNED = 2000
_MOST_COLUMNS = 128

Array = npt.NDArray[Any]


def build(  # noqa: PLR0913 - each is a part of the calibration data
    inputs: Mapping[str, Rows],
    outputs: Mapping[str, Rows],
    *,
    correct: Array | None = None,
    times: Array | None = None,
    seasons: Seasons = "none",
    seed: int = 0,
) -> Baseline:
    """Of the calibration data; each tensor's samples are along its first axis, or a list.

    Args:
        inputs: by name.
        outputs: by name, the served model's answers to them.
        correct: of each sample, whether the predicted class was right, where labels are known.
        times: of each sample, seconds since 1970; needed for ``seasons``.
        seasons: which parts of the day or week are told apart.
        seed: of what is drawn by chance.

    Raises:
        SchemaMismatch: samples of one tensor do not fit together.
    """
    samples = len(next(iter((inputs or outputs).values())))
    every = np.arange(samples)
    learned_of = every[::3][:_MOST_LEARNED]
    ranked = np.setdiff1d(every, learned_of)
    tensors = tuple(
        describe(name, side, rows, learned_of)
        for side, tensors in _sides(inputs, outputs)
        for name, rows in tensors.items()
    )
    features = extract(tensors, inputs, outputs)
    described = [feature for tensor in tensors for feature in names(tensor)]
    watched = described[:_MOST_COLUMNS]
    titles = _titles(tensors, described)
    spaces = _spaces(features, titles, learned_of, len(watched), seed)
    named, shares = score_names([(f.name, f.raw) for f in watched], spaces, titles)
    scores = score(features, len(watched), spaces)
    # A column is ranked among all samples; what is learned, as how rare a token is, among the others.
    tokens = {feature.name for tensor in tensors if tensor.tokens for feature in names(tensor)}
    whole = np.array([i < len(watched) and watched[i].name not in tokens for i in range(len(named))])
    bins = _joined(cut(scores), cut(scores[ranked]), whole)
    seasonal = None
    if seasons != "none":
        if times is None:
            raise ValueError("seasons need the times of the samples.")
        rows = [every if is_whole else ranked for is_whole in whole]
        seasonal = _seasonal(place(bins, scores), rows, season_of(times, seasons), COUNT[seasons])
    return Baseline(
        samples=samples,
        tensors=tensors,
        features=tuple(watched),
        numbers=tuple(_numbers(column) for column in features.columns.T[: len(watched)]),
        names=tuple(named),
        shares=shares.astype(np.float32),
        edges=bins.edges,
        weights=bins.weights.astype(np.float32),
        counts=bins.counts,
        spaces=spaces,
        seasons=seasons,
        seasonal=seasonal,
        reliability=_reliability(watched, features, correct),
        repeated=1 - len(np.unique(hash_rows(inputs, samples))) / samples,
    )


def _sides(
    inputs: Mapping[str, Rows], outputs: Mapping[str, Rows]
) -> tuple[tuple[Side, Mapping[str, Rows]], tuple[Side, Mapping[str, Rows]]]:
    return ("inputs", inputs), ("outputs", outputs)


def _titles(tensors: Sequence[Tensor], described: Sequence[Feature]) -> dict[str, list[str]]:
    """By side, the names of its columns where all of its space is tables."""
    found = {}
    for side in ("inputs", "outputs"):
        kinds = {
            tensor.kind for tensor in tensors if tensor.side == side and tensor.kind in ("table", "field")
        }
        if kinds == {"table"}:
            numeric = {t.name for t in tensors if t.dtype != "string"}
            found[side] = [
                feature.name
                for feature in described
                if feature.side == side and feature.raw and feature.name.partition("[")[0] in numeric
            ]
    return found


def _spaces(
    features: Features, titles: Mapping[str, Sequence[str]], learned_of: Array, columns: int, seed: int
) -> dict[str, Learned]:
    found: dict[str, Learned] = {}
    count = columns
    for side, values in features.spaces.items():
        if len(learned_of) < _LEAST_LEARNED or values.shape[1] < 2:
            continue
        learned = learn(values[learned_of], table=side in titles, seed=seed)
        count += min(learned.components.shape[1], 8) + 2
        if learned.precision is not None:
            if count + values.shape[1] > MOST_SCORES:
                learned = learn(values[learned_of], table=False, seed=seed)
            else:
                count += values.shape[1]
        found[side] = learned
    return found


def _joined(whole: Bins, ranked: Bins, of_whole: Array) -> Bins:
    pick = [
        np.where(of_whole.reshape(-1, *[1] * (a.ndim - 1)), a, b) for a, b in zip(whole, ranked, strict=True)
    ]
    return Bins(*pick)


def _seasonal(placed: Array, rows: Sequence[Array], season: Array, count: int) -> Array:
    """float32 [seasons, scores, BINS]: samples in each bin; of each score those rows that its bins are of.

    A season of which too little is known is compared with all.
    """
    found = np.zeros((count, len(rows), BINS), np.float32)
    for index, of_score in enumerate(rows):
        np.add.at(found[:, index], (season[of_score], placed[of_score, index]), 1)
    found[np.bincount(season, minlength=count) < LEAST] = found.sum(axis=0)
    return found


def _numbers(column: Array) -> Numbers:
    finite = np.clip(column[np.isfinite(column)], -LARGEST, LARGEST)
    missing = int(np.isnan(column).sum())
    if not len(finite):
        return Numbers(present=len(column) - missing, missing=missing)
    sizes = np.abs(finite[finite != 0])
    return Numbers(
        present=len(column) - missing,
        missing=missing,
        mean=float(finite.mean()),
        std=float(finite.std()),
        min=float(finite.min()),
        max=float(finite.max()),
        quantiles=tuple(np.quantile(finite, PROBABILITIES).tolist()),
        log_mean=float(np.log(sizes).mean()) if len(sizes) else None,
        log_std=float(np.log(sizes).std()) if len(sizes) else 0.0,
    )


def _reliability(features: Sequence[Feature], values: Features, correct: Array | None) -> Reliability | None:
    found = [index for index, feature in enumerate(features) if feature.name.endswith(": confidence")]
    if correct is None or not found:
        return None
    confidence = values.columns[:, found[0]]
    edges = np.unique(np.quantile(confidence, np.linspace(0, 1, 11)[1:-1]))
    placed = np.searchsorted(edges, confidence, side="right")
    size = len(edges) + 1
    return Reliability(
        feature=features[found[0]].name,
        edges=tuple(edges.tolist()),
        counts=tuple(np.bincount(placed, minlength=size).tolist()),
        correct=tuple(np.bincount(placed, np.asarray(correct, float), minlength=size).astype(int).tolist()),
    )
