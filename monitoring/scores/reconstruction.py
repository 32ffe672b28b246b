"""Reconstruction error: how far a request lies from the plane of the principal components.

Jackson, Mudholkar, "Control procedures for residuals associated with principal component analysis" (1979);
here the error is ranked among the calibration data's, not held against a limit that assumes normality.
"""

import numpy as np

from monitoring.scores.base import Array, Space

NAME = "reconstruction"


def scores(space: Space) -> Array:
    """[requests, 1]."""
    error = (space.z**2).sum(axis=1) - (space.coordinates**2).sum(axis=1)
    return np.asarray(np.log(np.maximum(error, 1e-9))[:, None])
