"""What the figures share."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Compared(NamedTuple):
    """One feature, lately and in the calibration data: counts by bin, float64 [bins], and where bins begin.

    Bins that neither has are left out; ``edges`` are the inner ones, one less than the bins in order, and
    none for categories.
    """

    now: Array
    before: Array
    edges: Array | None

    @property
    def shares(self) -> tuple[Array, Array]:
        """Of all."""
        return self.now / max(self.now.sum(), 1), self.before / max(self.before.sum(), 1)

    @property
    def scale(self) -> float:
        """The variance of a share's difference, apart from its p (1 - p): 1 / n + 1 / m."""
        return float(1 / max(self.now.sum(), 1) + 1 / max(self.before.sum(), 1))


class Figure(NamedTuple):
    """A figure, and what it exceeds by chance in one of 1,000 windows of this size, all being well."""

    value: float
    threshold: float


def chi_square_quantile(degrees: int, z: float) -> float:
    """By Wilson and Hilferty, "The distribution of chi-square" (1931); ``z`` is the normal quantile."""
    part = 2 / (9 * max(degrees, 1))
    return float(max(degrees, 1) * max(1 - part + z * np.sqrt(part), 0) ** 3)


ONE_IN_1000 = 3.09
