"""What requests and answers were like on the calibration data: ``baseline.json``.

Of stated size whatever the tensors': at most ``MOST_SCORES`` scores of 40 bins, 256 references of 24
coordinates a side, a space of 512 features; below 350 KB. It holds no sample: quantiles, counts, directions,
and the references as coordinates in them; of texts, those that came at least four times (features.py).
"""

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from monitoring.binning import Bins
from monitoring.deviation import Deviation
from monitoring.features import Feature, Tensor
from monitoring.packed import pack, unpack
from monitoring.scores import Name
from monitoring.seasons import Seasons
from monitoring.space import Learned

SCHEMA_VERSION = 2
PROBABILITIES = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)
MOST_SCORES = 224

Array = npt.NDArray[Any]


class Numbers(msgspec.Struct, frozen=True, kw_only=True):
    """Of one feature: how many values there are and how many are missing, and of the finite ones the rest.

    ``quantiles`` are at ``PROBABILITIES``; ``log_mean`` and ``log_std`` are those of the magnitudes that are
    not 0.
    """

    present: int
    missing: int
    mean: float = 0.0
    std: float = 0.0
    min: float = 0.0
    max: float = 0.0
    quantiles: tuple[float, ...] = ()
    log_mean: float | None = None
    log_std: float = 0.0


class Reliability(msgspec.Struct, frozen=True, kw_only=True):
    """How often the predicted class was right, by confidence: ``edges`` between the bins, counts in each."""

    feature: str
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    correct: tuple[int, ...]


class Baseline(msgspec.Struct, frozen=True, kw_only=True):
    """``baseline.json``.

    ``features`` are the columns (features.py) with their ``numbers``; ``names`` the scores of the drift test,
    of which the first ones are the features themselves, with their ``shares`` and bins: ``edges`` float32,
    ``weights`` and ``counts`` as binning.py has them. ``seasonal``: their counts by season.
    ``repeated``: the share of samples whose inputs came before. ``deviation``: how far answers were from
    labels, where the model gives numbers or scores; left out, it is not in the file either.
    """

    samples: int
    tensors: tuple[Tensor, ...]
    features: tuple[Feature, ...]
    numbers: tuple[Numbers, ...]
    names: tuple[Name, ...]
    shares: Array
    edges: Array
    weights: Array
    counts: Array
    spaces: dict[str, Learned]
    seasons: Seasons = "none"
    seasonal: Array | None = None
    reliability: Reliability | None = None
    repeated: float = 0.0
    deviation: Deviation | msgspec.UnsetType = msgspec.UNSET
    schema_version: int = SCHEMA_VERSION

    @property
    def bins(self) -> Bins:
        """Of all scores."""
        return Bins(self.edges, self.weights, self.counts)

    @property
    def categorical(self) -> Array:
        """Of which scores the bins have no order."""
        known = [feature.categories is not None for feature in self.features]
        return np.array(known + [False] * (len(self.names) - len(known)))


def encode(baseline: Baseline) -> bytes:
    """``baseline.json``; equal baselines give equal bytes."""
    return msgspec.json.encode(baseline, order="sorted", enc_hook=pack) + b"\n"


def decode(data: bytes) -> Baseline:
    """Read ``baseline.json``.

    Raises:
        msgspec.ValidationError: it is not one, or is of another schema version.
    """
    version = msgspec.json.decode(data, type=_Versioned).schema_version
    if version != SCHEMA_VERSION:
        raise msgspec.ValidationError(
            f"baseline.json has schema version {version}, but this release reads {SCHEMA_VERSION}: "
            "press the model again."
        )
    return msgspec.json.decode(data, type=Baseline, dec_hook=unpack)


class _Versioned(msgspec.Struct):
    schema_version: int
