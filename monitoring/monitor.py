"""Is it still right: the state of watching one model, advanced by batches of requests.

The order of requests matters to the drift test, so a state has one writer at a time: who reads it, advances
it and writes it back only if it is still the one that was read (compare-and-swap), and begins again
otherwise. The windows' sums may be added up in any order. The same requests in the same batches give the same
state.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from monitoring import drift, windows
from monitoring.baseline import Baseline, encode
from monitoring.binning import place
from monitoring.confidence import promised
from monitoring.features import Rows, extract
from monitoring.packed import pack, unpack
from monitoring.repeats import hash_rows
from monitoring.scoring import known_scores, score
from monitoring.seasons import season_of
from monitoring.silence import Traffic, note

STATE_VERSION = 2

Array = npt.NDArray[Any]


class State(msgspec.Struct, kw_only=True):
    """All that watching needs between two batches."""

    baseline: str  # the baseline's digest
    evidence: drift.Evidence
    windows: windows.Windows
    traffic: Traffic
    schema_version: int = STATE_VERSION


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """The drift alarm: the number of the request that raised it, counted from 0, and by which score."""

    request: int
    score: str


class Monitor:
    """Watches one model's requests and answers.

    ``state`` is what ``encode`` gave, of a monitor with the same baseline; none: nothing was seen yet.
    """

    def __init__(self, baseline: Baseline, state: bytes | None = None) -> None:
        """Begin, or go on.

        Raises:
            msgspec.ValidationError: the state cannot be read, or is another baseline's.
        """
        self.baseline = baseline
        self.prepared = drift.prepare(baseline.bins, baseline.shares, baseline.categorical, baseline.seasonal)
        self._residuals = np.flatnonzero([name.detector == "given the others" for name in baseline.names])
        self._spread = _residual_spread(baseline)
        digest = hashlib.sha256(encode(baseline)).hexdigest()
        self.state = self._begin(digest) if state is None else _decode(state, digest)

    def update(
        self, inputs: Mapping[str, Rows], outputs: Mapping[str, Rows], times: Array | None = None
    ) -> None:
        """Look at a batch of requests in their order: each tensor along its first axis, or a list.

        Outputs that nobody asked for may be missing, of all of them alike. ``times`` are when they came, in
        seconds since 1970.

        Raises:
            SchemaMismatch: they do not fit the baseline; nothing has been counted then.
            ValueError: the baseline has seasons, and there are no times.
        """
        base, state = self.baseline, self.state
        if times is None and base.seasons != "none":
            raise ValueError("this baseline tells parts of the day apart: give the times of the requests.")
        features = extract(base.tensors, inputs, outputs)
        count = len(features.columns)
        if not count:
            return
        seasons = np.zeros(count, np.intp) if times is None else season_of(times, base.seasons)
        scores = score(features, len(base.features), base.spaces)
        first = state.evidence.count
        known = known_scores(features, len(base.features), base.spaces)
        drift.advance(self.prepared, state.evidence, place(base.bins, scores), seasons, known)
        seen = windows.Seen(
            features.columns[:, : len(base.features)],
            scores[:, self._residuals] / self._spread,
            hash_rows(inputs, count),
            promised(base, features.columns),
        )
        windows.advance(state.windows, first, seen)
        if times is not None:
            note(state.traffic, times)

    @property
    def alarm(self) -> Alarm | None:
        """The drift alarm, which stands until watching begins anew."""
        evidence = self.state.evidence
        if evidence.alarm_at is None or evidence.alarm_score is None:
            return None
        return Alarm(request=evidence.alarm_at, score=str(self.baseline.names[evidence.alarm_score]))

    @property
    def evidence(self) -> Array:
        """By score, how far it is to an alarm: 1 raises it."""
        return drift.evidence_of(self.prepared, self.state.evidence)

    def encode(self) -> bytes:
        """The state, to go on from."""
        return msgspec.msgpack.encode(self.state, enc_hook=pack)

    def _begin(self, digest: str) -> State:
        return State(
            baseline=digest,
            evidence=drift.begin(self.prepared),
            windows=windows.begin(len(self.baseline.features), len(self._residuals)),
            traffic=Traffic(),
        )


def _decode(data: bytes, digest: str) -> State:
    try:
        state = msgspec.msgpack.decode(data, type=State, dec_hook=unpack)
    except msgspec.DecodeError:
        raise msgspec.ValidationError("the monitor's state is damaged: begin anew without it.") from None
    if state.schema_version != STATE_VERSION:
        raise msgspec.ValidationError(
            f"the monitor's state has version {state.schema_version}, but this release reads "
            f"{STATE_VERSION}: begin anew without it."
        )
    if state.baseline != digest:
        raise msgspec.ValidationError("the monitor's state is of another baseline: begin anew without it.")
    return state


def _residual_spread(baseline: Baseline) -> Array:
    """The standard deviations of the residuals, in the names' order."""
    found = [
        1 / np.sqrt(learned.precision.diagonal())
        for learned in baseline.spaces.values()
        if learned.precision is not None
    ]
    return np.concatenate(found) if found else np.ones(0)
