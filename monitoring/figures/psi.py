"""Population stability index: sum (p - q) ln(p / q) over ten or so bins.

The symmetrised divergence of Kullback and Leibler (1951). The usual 0.1 and 0.2 are of no sample size; while
all is well PSI is about (1 / n + 1 / m) times chi-square (Yurdakul, Naranjo, "Statistical properties of the
population stability index", 2020), and its threshold is that one's. Bins are joined until each should hold
five.
"""

import numpy as np

from monitoring.figures.base import ONE_IN_1000, Array, Compared, Figure, chi_square_quantile

NAME = "PSI"
_LEAST = 5.0


def figure(compared: Compared) -> Figure:
    """PSI and its threshold."""
    now, before = joined(compared)
    p, q = (now + 0.5) / (now + 0.5).sum(), (before + 0.5) / (before + 0.5).sum()
    value = float(((p - q) * np.log(p / q)).sum())
    return Figure(value, compared.scale * chi_square_quantile(len(now) - 1, ONE_IN_1000))


def joined(compared: Compared) -> tuple[Array, Array]:
    """Counts of neighbouring bins together, so that at least ``_LEAST`` are expected in each."""
    total = compared.now + compared.before
    expected = total * compared.now.sum() / max(total.sum(), 1)
    wanted = max(_LEAST, expected.sum() / 10)
    starts, held = [0], 0.0
    for index, value in enumerate(expected):
        if held >= wanted and expected[index:].sum() >= wanted:
            starts.append(index)
            held = 0.0
        held += value
    return np.add.reduceat(compared.now, starts), np.add.reduceat(compared.before, starts)
