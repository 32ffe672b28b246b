"""``status.json``: what a version's watching has found, for people and machines."""

import math
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np

from bundle.manifest import Manifest
from handlers.monitor.history import Point
from handlers.monitor.watched import Example, Tested, Watched
from monitoring.baseline import Baseline
from monitoring.binning import MISSING
from monitoring.checks import findings
from monitoring.confidence import estimate
from monitoring.deviation import Deviation, figure
from monitoring.explain import Moved, explain
from monitoring.features import Feature
from monitoring.figures import figures
from monitoring.monitor import Monitor
from monitoring.view import View, view

SCHEMA_VERSION = 1


class Bars(msgspec.Struct, frozen=True, kw_only=True):
    """Shares of one score by bin, in the calibration data and lately: ``labels`` say what is in a bin."""

    labels: list[str]
    before: list[float]
    now: list[float]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Something that moved (monitoring/explain.py), since when, its bars, and figures that people know."""

    feature: str
    score: str
    evidence: float
    direction: str
    now: float | None
    before: float | None
    since: float | None
    bars: Bars
    figures: dict[str, tuple[float, float]]


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """Quality or agreement: of ``count`` in all the share ``lately``, against what was ``expected``.

    ``says`` is what they are, as in "are right". ``unknown`` says why there is nothing to tell, where there
    is not.
    """

    count: int
    lately: float | None
    expected: float | None
    evidence: float
    alarm: bool
    since: float | None
    unknown: str
    says: str = "are right"


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """The metric that the bundle was pressed by, of the last labelled requests and as it was verified."""

    name: str
    lately: float
    verified: float


class Other(msgspec.Struct, frozen=True, kw_only=True):
    """Another version of the model, as its own status has it."""

    version: str
    digest: str
    updated: float
    requests: int
    right: bool | None
    accuracy: float | None
    agreement: float | None
    drift: float


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """``status.json``; moments are seconds since 1970.

    ``right``: whether all is as it should be; null where nothing is known. ``alarms`` are of ``drift``,
    ``quality``,
    ``agreement`` and ``silent``. ``drift`` is the evidence: 1 raises the alarm, which stands. ``estimate``:
    the accuracy that the confidence promises, only while no alarm stands. ``counts``: what became of captured
    lines (monitoring/captures.py) and of labels (labels.py).
    """

    model: str
    version: str
    digest: str
    begun: float
    updated: float
    right: bool | None
    sentence: str
    alarms: list[str]
    requests: int
    last_request: float | None
    drift: float
    drift_since: float | None
    changes: list[Change]
    quality: Share
    agreement: Share
    estimate: float | None
    findings: list[str]
    counts: dict[str, int]
    first: dict[str, str]
    points: list[Point]
    examples: list[Example]
    versions: list[Other] = []
    metric: Figure | None = None
    schema_version: int = SCHEMA_VERSION


def status_of(state: Watched, monitor: Monitor, manifest: Manifest, *, now: float, silent: bool) -> Status:
    """What is known after a run."""
    seen = view(monitor)
    alarm = monitor.alarm
    changes = [_change(monitor, moved, seen, state) for moved in explain(monitor)] if seen.requests else []
    raised = {
        "drift": alarm is not None,
        "quality": _is_raised(state.quality),
        "agreement": _is_raised(state.agreement),
        "silent": silent,
    }
    alarms = [name for name, is_raised in raised.items() if is_raised]
    requests = monitor.state.evidence.count
    right = None if not requests and not alarms else not alarms
    windows = monitor.state.windows
    status = Status(
        model=manifest.name,
        version=state.version,
        digest=state.digest,
        begun=state.begun,
        updated=now,
        right=right,
        sentence="",
        alarms=alarms,
        requests=requests,
        last_request=state.last_request,
        drift=float(monitor.evidence.max(initial=0.0)),
        drift_since=state.drift_time,
        changes=changes,
        quality=_share(state.quality, "no label was given yet: `coldpress label`"),
        agreement=_share(state.agreement, "nothing was replayed yet"),
        estimate=estimate(monitor.baseline, windows, alarm=bool(alarms)) if requests else None,
        findings=_findings(monitor, seen),
        counts={**state.tally.counts, **state.totals, **state.join.counts},
        first=state.tally.first,
        points=state.history.points,
        examples=state.examples,
        metric=_metric(state.quality, monitor.baseline, manifest),
    )
    return msgspec.structs.replace(status, sentence=_sentence(status))


def other_of(status: Status) -> Other:
    """What another version's page says of this one."""
    return Other(
        version=status.version,
        digest=status.digest,
        updated=status.updated,
        requests=status.requests,
        right=status.right,
        accuracy=status.quality.lately,
        agreement=status.agreement.lately,
        drift=status.drift,
    )


def encode(status: Status) -> bytes:
    """``status.json``."""
    return msgspec.json.format(msgspec.json.encode(status), indent=1)


def decode(data: bytes) -> Status:
    """What ``encode`` gave.

    Raises:
        msgspec.DecodeError: it is something else, or of another release.
    """
    return msgspec.json.decode(data, type=Status)


def unwatchable(model: str, version: str, digest: str, *, now: float, why: str) -> Status:
    """Of a version that cannot be watched."""
    nothing = Share(count=0, lately=None, expected=None, evidence=0, alarm=False, since=None, unknown=why)
    return Status(
        model=model,
        version=version,
        digest=digest,
        begun=now,
        updated=now,
        right=None,
        sentence=f"Unknown: {why}",
        alarms=[],
        requests=0,
        last_request=None,
        drift=0.0,
        drift_since=None,
        changes=[],
        quality=nothing,
        agreement=nothing,
        estimate=None,
        findings=[],
        counts={},
        first={},
        points=[],
        examples=[],
    )


def moment(seconds: float) -> str:
    """As people read it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _sentence(status: Status) -> str:
    """Is it right, in one line."""
    if status.right is None:
        return "Unknown: no request was captured yet."
    if status.right:
        return f"Yes: {status.requests:,} requests since {moment(status.begun)} are as they should be."
    return "No: " + "; ".join(_alarm(name, status) for name in status.alarms) + "."


def _alarm(name: str, status: Status) -> str:
    if name == "silent":
        return (
            f"no request has come since {moment(status.last_request or status.begun)}, when many should have"
        )
    if name == "drift":
        since = f" since {moment(status.drift_since)}" if status.drift_since else ""
        if not status.changes:
            return f"requests or answers are not what they were{since}"
        first = status.changes[0]
        return f"{first.score} is {first.direction}{since}"
    share = status.quality if name == "quality" else status.agreement
    of = "of the labelled requests " if name == "quality" else ""
    found = status.metric if name == "quality" else None
    metric = f" ({found.name} {found.lately:.4g}, {found.verified:.4g} when verified)" if found else ""
    return f"{share.lately or 0:.1%} {of}{share.says} lately, and {share.expected or 0:.1%} should{metric}"


def _findings(monitor: Monitor, seen: View) -> list[str]:
    """In words; of what is redacted nothing."""
    if not seen.requests:
        return []
    shares = zip(monitor.baseline.names, monitor.baseline.shares, strict=True)
    hidden = {name.feature for name, share in shares if not share}
    return [f"{one.feature}: {one.text}" for one in findings(seen) if one.feature not in hidden]


def _is_raised(tested: Tested) -> bool:
    return tested.test is not None and tested.test.alarm_at is not None


def _share(tested: Tested, nothing: str) -> Share:
    test, recent = tested.test, tested.recent
    return Share(
        count=(test.count if test else 0) or len(tested.learning),
        lately=float(np.mean(recent)) if recent else None,
        expected=None if test is None else test.verified,
        evidence=0.0 if test is None else test.evidence,
        alarm=_is_raised(tested),
        since=tested.alarm_time,
        unknown="" if recent else tested.unknown or nothing,
        says=tested.says or "are right",
    )


def _metric(tested: Tested, baseline: Baseline, manifest: Manifest) -> Figure | None:
    """Errors are told as such, though `optimize` negates them."""
    if not isinstance(baseline.deviation, Deviation):
        return None
    name = baseline.deviation.metric
    lately = figure(name, tested.errors)
    return None if lately is None else Figure(name=name, lately=lately, verified=abs(manifest.metric.after))


def _change(monitor: Monitor, moved: Moved, seen: View, state: Watched) -> Change:
    base = monitor.baseline
    titles = [str(name) for name in base.names]
    index = titles.index(moved.score)
    first = monitor.state.evidence.count - len(state.places)
    at = moved.since - first
    known = figures(seen).get(moved.feature, {}) if index < len(base.features) else {}
    feature = base.features[index] if index < len(base.features) else None
    return Change(
        feature=moved.feature,
        score=moved.score,
        evidence=moved.evidence,
        direction=moved.direction,
        now=_finite(moved.now),
        before=_finite(moved.before),
        since=state.places[at].time if 0 <= at < len(state.places) else None,
        bars=_bars(seen, index, feature),
        figures={name: (figure.value, figure.threshold) for name, figure in known.items()},
    )


def _bars(seen: View, index: int, feature: Feature | None) -> Bars:
    """The bins that either has, their neighbours joined, so that about ten are left of many."""
    weights, counts = seen.baseline.weights[index].astype(np.float64), seen.counts[index].astype(np.float64)
    edges = seen.baseline.edges[index]
    inner = int(np.isfinite(edges).sum())
    before, now = weights / max(weights.sum(), 1), counts / max(counts.sum(), 1)
    categories = None if feature is None else feature.categories
    groups = [[at] for at in range(inner + 1)] if categories else _groups(before[: inner + 1])
    labels = [_label(group, edges, inner, categories) for group in groups]
    found = [
        (label, before[group].sum(), now[group].sum()) for label, group in zip(labels, groups, strict=True)
    ]
    if before[MISSING] + now[MISSING] > 1e-3:
        found.append(("missing", before[MISSING], now[MISSING]))
    shown = [(label, float(b), float(n)) for label, b, n in found if b > 2e-4 or n > 2e-4]
    return Bars(labels=[s[0] for s in shown], before=[s[1] for s in shown], now=[s[2] for s in shown])


def _groups(before: Any) -> list[list[int]]:
    """Neighbouring bins of about a tenth together; those beyond the ends stay alone."""
    found: list[list[int]] = [[0]]
    size = 1.0
    for at in range(1, len(before) - 1):
        if size >= 0.1:
            found.append([])
            size = 0.0
        found[-1].append(at)
        size += float(before[at])
    return [*found, [len(before) - 1]] if len(before) > 1 else found


def _label(group: list[int], edges: Any, inner: int, categories: tuple[str, ...] | None) -> str:
    low, high = group[0], group[-1]
    if categories is not None:
        at = math.ceil(float(edges[low - 1])) if 0 < low <= inner else -1
        return categories[at] if 0 <= at < len(categories) and low < inner else "others"
    if low == 0:
        return f"below {float(edges[0]):.4g}" if inner else "all"
    if high >= inner:
        return f"from {float(edges[inner - 1]):.4g}"
    return f"{float(edges[low - 1]):.4g} to {float(edges[high]):.4g}"


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
