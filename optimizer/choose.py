"""Which file of a candidate is served, which candidates may be chosen, and in which order."""

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from bundle.manifest import AppliedPass, Figures
from optimizer.evaluate import Scores
from optimizer.measure import ColdStart, Latency
from optimizer.search.plan import CLEAN, ORIGINAL, Plan
from optimizer.units import size

Objective = Literal["latency", "size", "cold-start"]

# Speeds that differ by less than these are not told apart by the machine that measured them.
_FASTER = 1.03
_SAME_FILE = 0.97
_SAME_SPEED = 0.95
_HOPELESS_ERRORS = 3  # standard errors


class Margin(msgspec.Struct, frozen=True):
    """How many standard errors count, and how many of those of changes that no sample showed."""

    errors: float = 1.0
    unseen: float = 0.0

    def of(self, scores: Scores) -> float:
        """What to add to the drop."""
        return max(self.errors * scores.error, self.unseen * scores.unseen)


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate's figures: those of the file that would be served."""

    name: str
    title: str
    plan: Plan = ORIGINAL
    failure: str = ""
    applied: list[AppliedPass] = []
    serve: Literal["model.onnx", "model.ort"] = "model.onnx"
    ort_file: str = ""
    before: Figures = Figures(size_bytes=0, latency_ms=0, cold_start_ms=0)
    after: Figures = Figures(size_bytes=0, latency_ms=0, cold_start_ms=0)
    latency: Latency = Latency(ms=0, original_ms=0, ratio=0, low=0, high=0)
    scores: Scores | None = None
    hopeless_at: float | None = None
    margin: Margin = Margin()

    @property
    def served_file(self) -> str:
        """The name, in the work folder, of the file that is served."""
        return self.ort_file if self.serve == "model.ort" else f"{self.name}.onnx"

    @property
    def cold_start(self) -> ColdStart:
        """From the served file to the first answer."""
        return ColdStart(ms=self.after.cold_start_ms, touched_bytes=self.after.cold_start_bytes)

    @property
    def is_as_it_was(self) -> bool:
        """Whether it is the very file that everything is compared with."""
        return self.name == "original" and self.serve == "model.onnx"

    def timed_anew(self, latency: Latency) -> "Measured":
        """The same candidate with another measurement of its speed."""
        return msgspec.structs.replace(
            self,
            latency=latency,
            before=msgspec.structs.replace(self.before, latency_ms=latency.original_ms),
            after=msgspec.structs.replace(self.after, latency_ms=latency.ms),
        )

    def served_as_it_was(self) -> "Measured":
        """The original, served as the very file that everything is compared with."""
        latency = as_it_was(self.latency)
        return msgspec.structs.replace(self, serve="model.onnx", after=self.before, latency=latency)

    def sentence(self, bound: float) -> str:
        """What a person wants to know of it in a line."""
        if self.failure or self.scores is None:
            return f"{self.title}: failed ({self.failure})"
        verdict = "within the bound" if self.is_within(bound) else "outside the bound"
        return (
            f"{self.title}: {self.latency.ratio:.2f}x, {size(self.after.size_bytes)}, "
            f"drop {self.scores.drop:.4f} on {self.scores.samples} samples, {verdict}"
        )

    def is_within(self, bound: float) -> bool:
        """Whether its drop on selection samples, with its margin, is within the bound."""
        return self.scores is not None and not self.failure and self.upper_drop <= bound

    @property
    def upper_drop(self) -> float:
        """The drop on selection samples with its margin."""
        return self.scores.drop + self.margin.of(self.scores) if self.scores else math.inf

    def samples_needed(self, bound: float) -> int | None:
        """How many selection samples would show it to be within the bound, should its drop stay the same.

        The standard error falls with the root of their number, the share of what none showed with the number.
        """
        if self.scores is None or not self.scores.drop < bound:
            return None
        ratio = self.margin.of(self.scores) / (bound - self.scores.drop)
        return math.ceil(self.scores.samples * (ratio**2 if self.scores.error > 0 else ratio))


class File(msgspec.Struct, frozen=True, kw_only=True):
    """One of a candidate's files, as a server would load it."""

    size_bytes: int
    cold_start: ColdStart
    latency: Latency


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """All that was measured of a plan, whatever the bound and the objective; kept in the work folder."""

    plan: Plan
    title: str
    applies: bool = True
    failure: str = ""
    applied: list[AppliedPass] = []
    files: dict[str, File] = {}
    original_bytes: int = 0
    original_cold_start: ColdStart = ColdStart(ms=0, touched_bytes=0)
    scores: Scores | None = None
    hopeless_at: float | None = None

    def served(self, objective: Objective, margin: Margin) -> Measured:
        """The candidate as the file that serves the objective best."""
        if not self.files:
            return Measured(name=self.plan.name, title=self.title, plan=self.plan, failure=self.failure)
        timed = {name: file.latency for name, file in self.files.items()}
        cold = {name: file.cold_start.cost for name, file in self.files.items()}
        sizes = {name: file.size_bytes for name, file in self.files.items()}
        chosen = choose_file(timed, cold, sizes, objective)
        best_ort = max((name for name in timed if name != "onnx"), key=lambda name: timed[name].ratio)
        file, latency = self.files[chosen], timed[chosen]
        ort_file = best_ort if chosen == "onnx" else chosen
        return Measured(
            name=self.plan.name,
            title=self.title,
            plan=self.plan,
            applied=self.applied,
            serve="model.onnx" if chosen == "onnx" else "model.ort",
            ort_file=f"{self.plan.name}.{ort_file}" + ("" if ort_file == "ort" else ".ort"),
            before=Figures(
                size_bytes=self.original_bytes,
                latency_ms=latency.original_ms,
                cold_start_ms=self.original_cold_start.ms,
                cold_start_bytes=self.original_cold_start.touched_bytes,
            ),
            after=Figures(
                size_bytes=file.size_bytes,
                latency_ms=latency.ms,
                cold_start_ms=file.cold_start.ms,
                cold_start_bytes=file.cold_start.touched_bytes,
            ),
            latency=latency,
            scores=self.scores,
            hopeless_at=self.hopeless_at,
            margin=margin,
        )


class Race(msgspec.Struct, frozen=True):
    """Candidates by name, timed in the same rounds."""

    times: dict[str, Latency]


def as_it_was(latency: Latency) -> Latency:
    """The original beside itself: whatever the clock says, the ratio is one."""
    return msgspec.structs.replace(latency, ms=latency.original_ms, ratio=1.0, low=1.0, high=1.0)


def is_same(latency: Latency) -> bool:
    """Whether a model's speed cannot be told from the original's."""
    return latency.low <= 1 <= latency.high and latency.ratio >= _SAME_FILE


def choose_file(
    timed: Mapping[str, Latency], cold: Mapping[str, float], sizes: Mapping[str, int], objective: Objective
) -> str:
    """Which of a candidate's files to serve.

    The fastest; for ``cold-start`` the one whose start costs least, and for ``size`` the smallest, among
    those that are not slower than the original. An ORT file that is as fast as the ``.onnx`` is preferred
    where it starts no later, as most do.
    """
    if objective == "size":
        no_slower = [name for name in timed if timed[name].ratio >= 1 or is_same(timed[name])]
        if no_slower:
            return min(no_slower, key=lambda name: sizes[name])
    if objective == "cold-start":
        not_slower = [name for name in timed if timed[name].ratio >= 1]
        if not_slower:
            return min(not_slower, key=lambda name: cold[name])
    fastest_ort = max((name for name in timed if name != "onnx"), key=lambda name: timed[name].ratio)
    onnx, ratio = timed["onnx"].ratio, timed[fastest_ort].ratio
    if objective == "latency" and cold[fastest_ort] > cold["onnx"] and ratio * _SAME_FILE < onnx:
        return "onnx"
    needed = onnx if onnx == 1.0 else onnx * _SAME_FILE
    return fastest_ort if ratio >= needed else "onnx"


def is_hopeless(scores: Scores, bound: float) -> bool:
    """Whether a few samples already show that the bound cannot be met."""
    return not scores.drop - _HOPELESS_ERRORS * scores.error <= bound


def ranked(measured: Sequence[Measured], objective: Objective, bound: float) -> list[Measured]:
    """The candidates that may be chosen, best first; the original is last, unless it serves the objective."""
    usable = [one for one in measured if one.is_within(bound) and one.hopeless_at is None]
    original = [_last_resort(one, objective) for one in usable if one.name == "original"]
    if objective == "size":
        smaller = [
            one for one in usable if _is_not_slower(one) and one.after.size_bytes < one.before.size_bytes
        ]
        return [*sorted(smaller, key=lambda one: one.after.size_bytes), *original]
    if objective == "cold-start":
        sooner = [one for one in usable if _is_not_slower(one)]
        return [*sorted(sooner, key=lambda one: one.cold_start.cost), *original]
    faster = [one for one in usable if one.latency.ratio >= _FASTER and one.latency.low > 1]
    original = [one for one in original if one.name not in {other.name for other in faster}]
    best = max((one.latency.ratio for one in faster), default=0.0)
    as_fast = sorted(
        (one for one in faster if _is_as_fast(one.latency, best)), key=lambda one: one.after.size_bytes
    )
    slower = sorted((one for one in faster if one not in as_fast), key=lambda one: -one.latency.ratio)
    return [*as_fast, *slower, *_smaller_alike(usable, original), *original]


def _smaller_alike(usable: Sequence[Measured], original: Sequence[Measured]) -> list[Measured]:
    """The cleaned graph, which answers the same, where it is as fast in a smaller file."""
    return [
        one
        for one in usable
        if one.plan == CLEAN
        and is_same(one.latency)
        and all(one.after.size_bytes < _SAME_FILE * other.after.size_bytes for other in original)
    ]


def _last_resort(original: Measured, objective: Objective) -> Measured:
    """The original; as the user's own file, where that in ORT format turned out slower, or the larger one."""
    grown = objective == "size" and original.after.size_bytes > original.before.size_bytes
    return original.served_as_it_was() if grown or original.latency.ratio < 1 else original


def contenders(measured: Sequence[Measured], bound: float) -> list[Measured]:
    """The candidates within the bound, of which any may be the fastest as far as has been measured."""
    usable = [one for one in measured if one.is_within(bound) and one.hopeless_at is None]
    moving = [one for one in usable if one.latency.ratio != 1]
    fastest = max((one.latency.low for one in moving), default=0.0)
    return [one for one in moving if one.latency.high >= fastest]


def _is_as_fast(latency: Latency, best: float) -> bool:
    """Whether it cannot be told from the fastest, whose ratio is ``best``."""
    return latency.ratio >= best * _SAME_SPEED or latency.high >= best


def _is_not_slower(one: Measured) -> bool:
    """Or cannot be told from the original: weights that are only stored small run in the same kernels."""
    return one.latency.ratio >= 1 or is_same(one.latency)
