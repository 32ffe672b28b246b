"""What a score is: one number of a request that is fixed before the test begins."""

from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Name(msgspec.Struct, frozen=True, kw_only=True):
    """Which score: its detector's registered name, and the feature or side that it is of."""

    detector: str
    feature: str

    def __str__(self) -> str:
        return self.feature if self.detector == "column" else f"{self.feature}: {self.detector}"


class Space(NamedTuple):
    """The standardised features of one side, inputs or outputs, and what was learned of them.

    ``z``: float64 [requests, features], missing ones 0; ``coordinates``: [requests, components];
    ``components``: [features, components]; ``precision``: [features, features] or none;
    ``references``: [references, components].
    """

    z: Array
    coordinates: Array
    components: Array
    references: Array
    precision: Array | None


def project(z: Array, components: Array) -> Array:
    """Principal coordinates."""
    return np.asarray(z @ components)
