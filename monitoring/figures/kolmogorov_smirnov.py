"""Kolmogorov and Smirnov: the largest difference of the two distribution functions, at the bins' edges.

Smirnov, "Table for estimating the goodness of fit" (1948): beyond c sqrt(1 / n + 1 / m) with a probability of
at most 2 exp(-2 c^2); at a few edges only, less.
"""

import numpy as np

from monitoring.figures.base import Compared, Figure

NAME = "Kolmogorov-Smirnov"


def figure(compared: Compared) -> Figure:
    """The statistic and its threshold."""
    now, before = compared.shares
    value = float(np.abs(np.cumsum(now) - np.cumsum(before)).max(initial=0.0))
    return Figure(value, float(np.sqrt(np.log(2 / 0.001) / 2 * compared.scale)))
