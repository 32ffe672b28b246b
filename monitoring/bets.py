"""The fixed bets of the drift test: alternatives to "nothing has changed", as densities over the bins.

Each is a density over a score's rank ``u`` in (0, 1), given by its distribution function and averaged over
every bin, or one that moves the share of what is missing. A fixed grid of simple alternatives next to a
learned one is what Vovk et al., "Retrain or not retrain: conformal test martingales" (2021), and Fedorova et
al., "Plug-in martingales for testing exchangeability on-line" (2012), found to be quick; proportional odds
are used for a shift because they are of closed form and bounded, so that one request can never cost more than
their factor.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from monitoring.binning import BINS, MISSING, Bins

Array = npt.NDArray[Any]

_FEW_CATEGORIES = 12
_LEAST = 0.02  # no bet gives up more than this factor at one request


def _odds(factor: float) -> Callable[[Array], Array]:
    """The distribution of a rank whose odds are multiplied: above 1 upwards."""
    return lambda u: u / (u + factor * (1 - u))


def _mixed(share: float, *alternatives: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """Most requests as ever, and a share by each alternative alike."""
    return lambda u: (1 - share) * u + share * sum(one(u) for one in alternatives) / len(alternatives)


def _without(low: float, high: float) -> Callable[[Array], Array]:
    """The ranks between these two have become rare."""
    return lambda u: (u - 0.9 * (np.clip(u, low, high) - low)) / (1 - 0.9 * (high - low))


_SHIFTS = (1.5, 2.5, 6.0, 30.0, 1000.0)
_ALTERNATIVES: dict[str, Callable[[Array], Array]] = {
    **{f"higher by odds of {factor:g}": _odds(factor) for factor in _SHIFTS},
    **{f"lower by odds of {factor:g}": _odds(1 / factor) for factor in _SHIFTS},
    "wider": _mixed(1.0, _odds(4), _odds(1 / 4)),
    "much wider": _mixed(1.0, _odds(40), _odds(1 / 40)),
    "narrower": lambda u: 3 * u**2 - 2 * u**3,
    "much narrower": lambda u: u**4 * (35 - 84 * u + 70 * u**2 - 20 * u**3),
    "a tenth very high": _mixed(0.1, _odds(1000)),
    "a tenth very low": _mixed(0.1, _odds(1 / 1000)),
    "a tenth very high or low": _mixed(0.1, _odds(1000), _odds(1 / 1000)),
    "the highest tenth is gone": _without(0.9, 1.0),
    "the lowest tenth is gone": _without(0.0, 0.1),
}
_MISSING_SHARES = {"some missing": 0.1, "half missing": 0.5, "nothing missing any more": 0.0}
FIXED = len(_ALTERNATIVES) + len(_MISSING_SHARES)
GRID = max(FIXED, 2 * _FEW_CATEGORIES)


def grid(bins: Bins, categorical: Array) -> tuple[Array, Array]:
    """The densities relative to the calibration data's, [scores, BINS, GRID], and the bets' weights.

    ``categorical`` says of which scores the bins have no order: there the bets are on one category's share.
    """
    count = len(bins.weights)
    table = np.ones((count, BINS, GRID))
    table[:, :, : len(_ALTERNATIVES)] = _ordered(bins.weights)
    table[:, :, len(_ALTERNATIVES) : FIXED] = _missing(bins.weights)
    weights = np.zeros((count, GRID))
    weights[:, :FIXED] = 1 / FIXED
    for score in np.flatnonzero(categorical):
        used = np.flatnonzero(bins.weights[score, :MISSING] > 1)
        if 2 <= len(used) <= _FEW_CATEGORIES:
            table[score], weights[score] = _categories(bins.weights[score], used)
    return np.maximum(table, _LEAST), weights


def _ordered(weights: Array) -> Array:
    """Averages over the bins in order; a bin that does not exist and the missing have 1."""
    order = weights[:, :MISSING]
    ends = np.concatenate([np.zeros((len(order), 1)), np.cumsum(order, axis=1)], axis=1)
    ends /= np.maximum(ends[:, -1:], 1)
    widths = np.diff(ends, axis=1)
    found = np.ones((len(weights), BINS, len(_ALTERNATIVES)))
    for index, distribution in enumerate(_ALTERNATIVES.values()):
        masses = np.diff(distribution(ends), axis=1)
        np.divide(masses, widths, out=found[:, :MISSING, index], where=widths > 0)
    return found


def _missing(weights: Array) -> Array:
    share = weights[:, MISSING] / weights.sum(axis=1)
    found = np.ones((len(weights), BINS, len(_MISSING_SHARES)))
    for index, extra in enumerate(_MISSING_SHARES.values()):
        now = share * 0.1 if extra == 0 else share + extra * (1 - share)
        found[:, MISSING, index] = now / share
        rest = (1 - now) / np.maximum(1 - share, 1e-9)
        found[:, :MISSING, index] = rest[:, None]
    return found


def _categories(weights: Array, used: Array) -> tuple[Array, Array]:
    """For each category, its share tripled and nearly gone."""
    table, bets = np.ones((BINS, GRID)), np.zeros(GRID)
    for index, category in enumerate(used):
        share = weights[category] / weights.sum()
        for now, column in ((3 * share / (1 + 2 * share), 2 * index), (0.1 * share, 2 * index + 1)):
            table[:, column] = (1 - now) / (1 - share)
            table[category, column] = now / share
    bets[: 2 * len(used)] = 1 / (2 * len(used))
    return table, bets
