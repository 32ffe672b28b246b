"""Some of an ensemble's trees, their leaves moved so that they give what all of them gave."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from optimizer.trees.ensemble import Ensemble, Floats, Ints

# Rows beside those of the data: each value is, with this chance, another row's.
_SWAPPED, _ROWS, _MOST_NUMBERS = 0.15, 4000, 20_000_000
_HELD_OUT = 0.25
# How many rows a leaf's old value counts as; without end, it stays.
_TRUST = (np.inf, 30.0, 5.0)
_SWEEPS = 3
_RIDGE = 1e-3


class Fewer:
    """One ensemble, and what its trees say of the data: computed once, for any number of trees."""

    def __init__(self, ensemble: Ensemble, rows: Floats, seed: int) -> None:
        """``rows``: its input on calibration data, [samples, features]; ``seed``: of made-up rows."""
        dice = np.random.default_rng(seed)
        held = dice.permutation(len(rows))[: int(_HELD_OUT * len(rows))]
        most = min(_ROWS, _MOST_NUMBERS // (len(ensemble.roots) * ensemble.weights.shape[1]))
        known = dice.permutation(np.delete(rows, held, axis=0))[:most]
        fitted = np.concatenate([known, _made_up(known, max(most - len(known), 0), dice)])
        self.ensemble = ensemble
        self._leaves, self._held = ensemble.leaves(fitted), ensemble.leaves(rows[held[:most]])

    def of(self, count: int) -> tuple[Ensemble, Floats]:
        """So many of the trees, and what is to be added to the scores.

        Trees are picked by orthogonal matching pursuit on all trees' scores, which needs no labels; then leaf
        after leaf is moved towards what is missing (backfitting), as far as held-out rows gain by it.
        """
        weights = self.ensemble.weights
        scores = weights[self._leaves]
        target, held_target = scores.sum(axis=1), weights[self._held].sum(axis=1)
        are_shares = bool(np.allclose(target.sum(axis=1), 1, atol=1e-3)) and target.shape[1] > 1
        chosen, scale, shift = _picked(scores, target, count, are_shares=are_shares)
        tree = self.ensemble.tree[self.ensemble.roots[chosen]]
        factor = np.zeros(int(self.ensemble.tree.max()) + 1)
        factor[tree] = scale
        scaled = weights * factor[self.ensemble.tree][:, np.newaxis]
        leaves, held = self._leaves[:, chosen], self._held[:, chosen]
        fits = [_signed_alike(weights, _moved(scaled, leaves, target - shift, trust)) for trust in _TRUST]
        errors = [np.square(fit[held].sum(axis=1) - (held_target - shift)).sum() for fit in fits]
        best = fits[int(np.argmin(errors))] if len(held) else fits[0]
        return _only(replace(self.ensemble, weights=best), tree), shift


def _signed_alike(old: Floats, new: Floats) -> Floats:
    """No negative weight where there was none: ONNX Runtime then sets another border of two classes."""
    if (old < 0).any():
        return new
    positive = np.maximum(new, 0)
    sums = positive.sum(axis=1, keepdims=True)
    return np.asarray(
        positive * np.divide(new.sum(axis=1, keepdims=True), sums, out=sums * 0, where=sums > 0)
    )


def _made_up(rows: Floats, count: int, dice: np.random.Generator) -> Floats:
    """Rows with values of others: the ensemble itself says what is right for them."""
    first, second = dice.integers(0, len(rows), (2, count))
    swapped = dice.random((count, rows.shape[1])) < _SWAPPED
    return np.asarray(np.where(swapped, rows[second], rows[first]))


def _picked(scores: Floats, target: Floats, count: int, *, are_shares: bool) -> tuple[Ints, Floats, Floats]:
    """Trees, a factor for each, and a shift; shares add up to 1 after it as well, so they are not shifted."""
    mean = np.zeros(target.shape[1]) if are_shares else target.mean(axis=0)
    by_tree = np.zeros(scores.shape[1:]) if are_shares else scores.mean(axis=0)
    columns = (scores - by_tree).transpose(0, 2, 1).reshape(-1, scores.shape[1])
    gram, right = columns.T @ columns, columns.T @ (target - mean).reshape(-1)
    lengths = np.sqrt(np.maximum(np.diag(gram), 1e-30))
    chosen: list[int] = []
    scale = np.zeros(0)
    for _ in range(count):
        gain = np.abs(right - gram[:, chosen] @ scale) / lengths
        gain[chosen] = -1
        chosen.append(int(np.argmax(gain)))
        part = gram[np.ix_(chosen, chosen)]
        ridge = _RIDGE * np.trace(part) / len(chosen) * np.eye(len(chosen))
        scale = np.linalg.solve(part + ridge, right[chosen])
    if are_shares:
        scale /= (scale * scores.sum(axis=2).mean(axis=0)[chosen]).sum()
    order = np.argsort(chosen)
    picked, scale = np.array(chosen)[order], scale[order]
    return picked, scale, mean - scale @ by_tree[picked]


def _moved(weights: Floats, leaves: Ints, target: Floats, trust: float) -> Floats:
    """The weights after backfitting; a leaf that no row reaches stays."""
    if np.isinf(trust):
        return weights
    weights = weights.copy()
    total = weights[leaves].sum(axis=1)
    for _ in range(_SWEEPS):
        for column in leaves.T:
            old = weights[column]
            places, at, counts = np.unique(column, return_inverse=True, return_counts=True)
            missing = np.zeros((len(places), weights.shape[1]))
            np.add.at(missing, at, target - total)
            weights[places] += missing / (counts + trust)[:, np.newaxis]
            total += weights[column] - old
    return weights


def _only(ensemble: Ensemble, trees: Sequence[int] | Ints) -> Ensemble:
    """These trees, numbered from zero."""
    kept = np.isin(ensemble.tree, trees)
    place = np.cumsum(kept) - 1
    return Ensemble(
        mode=ensemble.mode[kept],
        feature=ensemble.feature[kept],
        value=ensemble.value[kept],
        true=place[ensemble.true[kept]],
        false=place[ensemble.false[kept]],
        missing_is_true=ensemble.missing_is_true[kept],
        weights=ensemble.weights[kept],
        tree=np.searchsorted(np.sort(trees), ensemble.tree[kept]),
        roots=place[ensemble.roots[np.isin(ensemble.tree[ensemble.roots], trees)]],
    )
