"""Wasserstein: by how much values moved on average, in their own unit, within the edges of the bins.

In one dimension the area between the two distribution functions (Vallender, 1973). While all is well their
difference is a Brownian bridge of variance (1 / n + 1 / m) F (1 - F); the threshold is the mean of the area
under its magnitude and three deviations' worth more, taken as if it were of one piece, which is on the safe
side.
"""

import numpy as np

from monitoring.figures.base import ONE_IN_1000, Compared, Figure

NAME = "Wasserstein"


def figure(compared: Compared) -> Figure:
    """The distance and its threshold."""
    if compared.edges is None or len(compared.edges) < 2:
        return Figure(0.0, 0.0)
    now, before = (np.cumsum(shares)[:-1] for shares in compared.shares)
    widths = np.diff(compared.edges)
    apart = ((np.abs(now - before)[:-1] + np.abs(now - before)[1:]) / 2 * widths).sum()
    middle = (before[:-1] + before[1:]) / 2
    spread = (np.sqrt(np.clip(middle * (1 - middle), 0, None) * compared.scale) * widths).sum()
    mean, deviation = np.sqrt(2 / np.pi), np.sqrt(1 - 2 / np.pi)
    return Figure(float(apart), float(spread * (mean + ONE_IN_1000 * deviation)))
