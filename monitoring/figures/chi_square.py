"""Chi-square of two samples' counts: Pearson (1900), for classes and other categories."""

import numpy as np

from monitoring.figures.base import ONE_IN_1000, Compared, Figure, chi_square_quantile
from monitoring.figures.psi import joined

NAME = "chi-square"


def figure(compared: Compared) -> Figure:
    """The statistic and its threshold."""
    now, before = joined(compared)
    total = now + before
    value = 0.0
    for part in (now, before):
        expected = total * part.sum() / max(total.sum(), 1)
        value += float(
            np.divide((part - expected) ** 2, expected, out=np.zeros_like(part), where=expected > 0).sum()
        )
    return Figure(value, chi_square_quantile(len(now) - 1, ONE_IN_1000))
