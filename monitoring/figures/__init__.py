"""The windowed figures that people know, each with a threshold for its sample size; never an alarm."""

from collections.abc import Callable

import numpy as np

from monitoring.figures import chi_square, kolmogorov_smirnov, psi, wasserstein
from monitoring.figures.base import Compared, Figure
from monitoring.view import View

__all__ = ["FIGURES", "Compared", "Figure", "compare", "figures"]

# By name: of a feature's counts, lately and before.
FIGURES: dict[str, Callable[[Compared], Figure]] = {
    module.NAME: module.figure for module in (psi, kolmogorov_smirnov, wasserstein, chi_square)
}
_OF_NUMBERS = (psi.NAME, kolmogorov_smirnov.NAME, wasserstein.NAME)
_OF_CATEGORIES = (psi.NAME, chi_square.NAME)


def compare(view: View, index: int) -> Compared:
    """Counts of a feature, the missing left out."""
    weights = view.baseline.weights[index].astype(np.float64).copy()
    edges = view.baseline.edges[index]
    inner = int(np.isfinite(edges).sum())
    if view.baseline.samples:
        # What was never seen has a weight but no count.
        weights[[0, inner]] = 0 if inner else weights[[0, inner]]
    categorical = view.baseline.features[index].categories is not None
    return Compared(
        view.counts[index, : inner + 1].astype(np.float64),
        weights[: inner + 1],
        None if categorical else edges[:inner].astype(np.float64),
    )


def figures(view: View) -> dict[str, dict[str, Figure]]:
    """By feature and name."""
    found = {}
    for index, feature in enumerate(view.baseline.features):
        compared = compare(view, index)
        known = _OF_CATEGORIES if feature.categories is not None else _OF_NUMBERS
        if compared.now.sum() and len(compared.now) > 2:
            found[feature.name] = {name: FIGURES[name](compared) for name in known}
    return found
