"""The scores of the drift test: one file a detector, and their registry.

A column's own value is the first detector, which has no file: its score is the value. What is of one feature
or output alone (a class, a confidence) is made with the features (features.py) and is such a column as well.
"""

from collections.abc import Callable

from monitoring.scores import component, neighbour, reconstruction, residual
from monitoring.scores.base import Array, Name, Space

__all__ = ["COLUMN", "DETECTORS", "Array", "Name", "Space"]

COLUMN = "column"

# By name: the scores of a side's space.
DETECTORS: dict[str, Callable[[Space], Array]] = {
    module.NAME: module.scores for module in (residual, component, reconstruction, neighbour)
}
