"""Parts of the day and week, whose requests are not exchangeable with each other's."""

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Seasons = Literal["none", "day", "week"]

_DAY_S = 86_400
_PARTS = 6
COUNT: dict[Seasons, int] = {"none": 1, "day": _PARTS, "week": 2 * _PARTS}
LEAST = 30  # samples of a part that is compared with its own


def seasons_told_by(times: Array) -> Seasons:
    """``week`` where each of its parts has enough samples, else ``day``."""
    counts = np.bincount(season_of(times, "week"), minlength=COUNT["week"])
    return "week" if counts.min() >= LEAST else "day"


def season_of(times: Array, seasons: Seasons) -> Array:
    """The number of each moment's season; ``times`` are seconds since 1970 in the time that people live by.

    ``day``: six parts of four hours; ``week``: those of working days, then those of Saturday and Sunday.
    """
    moments = np.asarray(times, np.float64)
    if seasons == "none":
        return np.zeros(len(moments), np.intp)
    part = (moments % _DAY_S // (_DAY_S / _PARTS)).astype(np.intp)
    if seasons == "day":
        return part
    day = (moments // _DAY_S + 3) % 7  # the first of January 1970 was a Thursday; 0 is Monday
    return part + _PARTS * (day >= 5)
