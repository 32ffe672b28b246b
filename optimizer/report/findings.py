"""All that the report tells of."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import msgspec

from bundle.manifest import Manifest
from optimizer.choose import Measured
from optimizer.search.layers import LayerTable
from optimizer.verify import Verified


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """The circumstances of the first complete search; kept, so that a rerun gives the same report."""

    seconds: float
    peak_bytes: int
    processor: str
    threads: int


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What was measured, and what came of it; ``rejected`` are those that failed verification, by name."""

    manifest: Manifest
    measured: Sequence[Measured]
    rejected: Collection[str]
    chosen: Measured
    verified: Verified
    layers: LayerTable | None
    search: Search
    command: Sequence[str]
    calibration_samples: int
    evaluation_samples: int
    seed: int
