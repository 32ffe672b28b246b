"""What moved: the feature, the direction, by how much, since when, and the requests that show it best."""

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from monitoring import drift
from monitoring.bets import GRID
from monitoring.binning import BINS, MISSING
from monitoring.monitor import Monitor
from monitoring.windows import LATEST

_NOTABLE = 1e-3  # of an alarm's evidence: by chance one score has it in about a thousand requests
_EXAMPLES = 5

Array = npt.NDArray[Any]


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that moved.

    ``feature``: a column or tensor; ``score``: what of it; ``evidence``: 1 raises the alarm. ``now`` and
    ``before`` are medians of the score where it has an order, else the share of what changed most; ``shift``
    is where the mean rank lies among the calibration data's, -1 to 1. ``since`` is a request's number, at the
    earliest the oldest whose bins are still kept; ``examples`` are requests' numbers, the clearest first.
    """

    feature: str
    score: str
    evidence: float
    direction: str
    now: float | None
    before: float | None
    shift: float
    since: int
    examples: tuple[int, ...]


def explain(monitor: Monitor, most: int = 5) -> list[Moved]:
    """The features that moved, the first the likeliest cause; nothing while there is little evidence."""
    evidence = monitor.evidence
    order = _by_cause(monitor, evidence)
    return [_moved(monitor, score, float(evidence[score])) for score in order[:most]]


def _by_cause(monitor: Monitor, evidence: Array) -> list[int]:
    """Scores with evidence, one of each feature, in the order in which they explain the rest.

    An input's column that changed in its own distribution is named first: it takes others along only as seen
    against it, and the outputs because they are its answers. Else the column that, left free, would explain
    most of how the columns lie against each other: the one with the largest standardised residual, as in the
    score test of a Gaussian model. Then whatever has the most evidence.
    """
    base = monitor.baseline
    notable = [int(i) for i in np.argsort(-evidence, kind="stable") if evidence[i] >= _NOTABLE]
    residual = [i for i, name in enumerate(base.names) if name.detector == "given the others"]
    raw = [i for i in notable if i < len(base.features) and base.features[i].raw]
    raw = [i for i in raw if base.features[i].side == "inputs"]
    against = [i for i in notable if i in set(residual)]
    if against:
        first = min(since_of(monitor, i) for i in against)
        begun = max(first, monitor.state.evidence.count - LATEST)
        kept = monitor.state.windows.residuals[np.arange(begun, monitor.state.evidence.count) % LATEST]
        size = np.abs(np.clip(np.nan_to_num(kept.astype(np.float64)), -1e3, 1e3)).mean(axis=0)
        strength = dict(zip(residual, size.tolist(), strict=True))
        against.sort(key=lambda i: -strength[i])
    found: dict[str, int] = {}
    for score in [*raw, *against, *notable]:
        found.setdefault(base.names[score].feature, score)
    return list(found.values())


def since_of(monitor: Monitor, score: int) -> int:
    """The request from which on the strongest fixed bet on this score would have gained most."""
    state = monitor.state.evidence
    table = _strongest(monitor, score)
    first, recent = drift.latest(state)
    gains = np.log(_bin_factors(table, recent[:, score]))
    after = np.cumsum(gains[::-1])[::-1]
    return first + int(after.argmax())


def _bin_factors(table: Array, placed: Array) -> Array:
    """What a bet gave for each request's bin; 1 where the request has not the score."""
    return np.where(placed < BINS, table[np.minimum(placed, BINS - 1)], 1.0)


def _strongest(monitor: Monitor, score: int) -> Array:
    """By bin, the factors of the fixed bet that has won most."""
    state, prepared = monitor.state.evidence, monitor.prepared
    wealth = state.statistic[score, :GRID] * prepared.bet_weights[score, :GRID]
    return np.asarray(prepared.table.reshape(-1, BINS, GRID)[score, :, wealth.argmax()])


def _moved(monitor: Monitor, score: int, evidence: float) -> Moved:
    base, state = monitor.baseline, monitor.state.evidence
    name = base.names[score]
    since = since_of(monitor, score)
    first, recent = drift.latest(state)
    placed = recent[since - first :, score]
    now = np.bincount(placed[placed < BINS], minlength=BINS).astype(np.float64)
    before = base.weights[score].astype(np.float64)
    categories = base.features[score].categories if score < len(base.features) else None
    p, q = now / max(now.sum(), 1), before / before.sum()
    direction, shift, values = _direction(p, q, base.edges[score], categories)
    table = _strongest(monitor, score)
    clearest = np.argsort(-_bin_factors(table, placed), kind="stable")[:_EXAMPLES]
    return Moved(
        feature=name.feature,
        score=str(name),
        evidence=evidence,
        direction=direction,
        now=values[0],
        before=values[1],
        shift=shift,
        since=since,
        examples=tuple(int(since + index) for index in clearest),
    )


def _direction(
    p: Array, q: Array, edges: Array, categories: tuple[str, ...] | None
) -> tuple[str, float, tuple[float | None, float | None]]:
    """The direction in words, by how much the mean rank moved, and what it was and is."""
    ranks = np.cumsum(q) - q / 2
    held, had = max(p[:MISSING].sum(), 1e-12), max(q[:MISSING].sum(), 1e-12)
    shift = 2 * float((ranks * p)[:MISSING].sum() / held - (ranks * q)[:MISSING].sum() / had)
    if p[MISSING] > q[MISSING] + 0.05:
        return "missing", shift, (float(p[MISSING]), float(q[MISSING]))
    if categories is not None:
        # The bin whose share moved against what its own size lets expect.
        most = int((np.abs(p - q) / np.sqrt(q + 1e-4)).argmax())
        title = _category(most, edges, categories)
        return (
            f"{'more' if p[most] > q[most] else 'less'} of {title}",
            shift,
            (float(p[most]), float(q[most])),
        )
    medians = _median(p, edges), _median(q, edges)
    spread = float(np.sqrt((p * (ranks - 0.5) ** 2).sum()) / np.sqrt((q * (ranks - 0.5) ** 2).sum()))
    if abs(shift) >= 0.1 and abs(shift) >= abs(spread - 1) / 2:
        return ("higher" if shift > 0 else "lower"), shift, medians
    return ("wider" if spread > 1 else "narrower"), shift, medians


def _category(index: int, edges: Array, categories: tuple[str, ...]) -> str:
    """The categories of a bin, which begins at its edge."""
    inner = int(np.isfinite(edges).sum())
    if index == 0 or index >= inner:
        return "new ones"
    low, high = int(edges[index - 1]), int(np.ceil(edges[index]))
    titles = [
        categories[code] if code < len(categories) else "others" for code in range(low, max(high, low + 1))
    ]
    return ", ".join(titles[:5])


def _median(shares: Array, edges: Array) -> float | None:
    """Within the bin that holds it, in proportion; beyond the ends, the end."""
    inner = int(np.isfinite(edges).sum())
    order = shares[: inner + 1] / max(shares[: inner + 1].sum(), 1e-12)
    total = np.cumsum(order)
    index = int(np.searchsorted(total, 0.5))
    if not inner:
        return None
    if index == 0:
        return float(edges[0])
    if index >= inner:
        return float(edges[inner - 1])
    part = (0.5 - (total[index] - order[index])) / max(order[index], 1e-12)
    return float(edges[index - 1] + part * (edges[index] - edges[index - 1]))
