"""What the checks of data quality share."""

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
_CHANCE = 1e-5  # of a finding by chance, of one feature in one window


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something is wrong with a feature's values; ``now`` and ``before`` are what the text compares."""

    check: str
    feature: str
    text: str
    now: float
    before: float


def surprising(count: float, total: float, before: float, samples: float) -> bool:
    """Whether ``count`` of ``total`` is more than chance, where ``before`` of ``samples`` were so.

    By Chernoff's bound (1952) on a binomial count, against the upper end of what the samples leave possible.
    """
    if not total:
        return False
    possible = min((before + 1 + 3 * np.sqrt(before + 1)) / (samples + 1), 1.0)
    share = count / total
    if share <= possible:
        return False
    rest = (1 - share) * np.log((1 - share) / (1 - possible)) if share < 1 else 0.0
    return bool(total * (share * np.log(share / possible) + rest) > -np.log(_CHANCE))
