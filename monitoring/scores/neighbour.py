"""Distance to the nearest of a few hundred references: is there anything like it in the calibration data?

Ramaswamy, Rastogi, Shim, "Efficient algorithms for mining outliers from large data sets" (2000). The
references are kept as principal coordinates; they are other samples than those that the distances are ranked
among.
"""

import numpy as np

from monitoring.scores.base import Array, Space

NAME = "nearest reference"


def scores(space: Space) -> Array:
    """[requests, 1]."""
    cross = space.coordinates @ space.references.T
    squares = (space.references**2).sum(axis=1) - 2 * cross
    nearest = squares.min(axis=1) + (space.coordinates**2).sum(axis=1)
    return np.asarray(np.log(np.maximum(nearest, 1e-9))[:, None])
