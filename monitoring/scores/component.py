"""Principal coordinates: where a request lies along the directions in which requests differ most.

Pearson, "On lines and planes of closest fit" (1901). Two-sided, each ranked on its own.
"""

from monitoring.scores.base import Array, Space

NAME = "component"
MOST = 8


def scores(space: Space) -> Array:
    """[requests, components], at most ``MOST``."""
    return space.coordinates[:, :MOST]
