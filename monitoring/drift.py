"""Drift: one alarm, by an anytime-valid sequential test that may be watched all the time.

**What is assumed.** Nothing but that, as long as all is well, requests are exchangeable with the calibration
data (of the same part of the day, where seasons are told apart): as if all were drawn from one hat.

**The null is Polya's urn, not the uniform.** The usual p-value against a fixed baseline of n samples is
uniform only on average over baselines; that very baseline is off by about 1 / sqrt(n) in every bin, and a
bettor that learns will find it in a million clean requests. Conformal prediction avoids that by ranking each
request among the baseline *and all requests so far* (Vovk, Nouretdinov, Gammerman, "Testing exchangeability
on-line", 2003). In bins between order statistics that needs neither the old scores nor a random tie-break:
the next request falls into a bin with probability (m + c) / (n + 1 + t) exactly, given all bins before it
(binning.py). So the test is against this prediction, and what the baseline cannot know it cannot take for
drift. A larger baseline sharpens the prediction at the same storage.

**The bets.** A bet is a predictable density over the bins; its factor at each request is what it gave the bin
that came over what the urn gave it, of mean 1 (binning.py says where it is at most 1 only nearly) while all
is well. Bets are a fixed grid (bets.py) and histograms of the requests lately, which learn (Fedorova et al.,
"Plug-in martingales for testing exchangeability on-line", 2012).

**The alarm** is that of Shiryaev and Roberts: R <- (R + 1) * factor, which sums over all moments at which the
change may have begun (Shin, Ramdas, Rinaldo, "E-detectors", 2022; Vovk et al., "Retrain or not retrain",
2021). R - t is a (super)martingale, so one score's R reaches c within N requests with a probability of at
most N / c. Over scores, each has a share w of 1 and the alarm is raised when some R * w reaches c: by the
union bound, N / c for all together. The sum of the R * w would be a little quicker, but a mean of martingales
that know different things is none (Choe, Ramdas, "Combining evidence across filtrations", 2024). With
``THRESHOLD`` = 1,000,000: at most 1 % of streams alarm within 10,000 clean requests, and the mean time to a
false alarm is at least 500,000 requests.

**What it cannot see.** A drift so slow that the urn follows it; one below what n samples can tell.

An alarm stands until watching begins anew: from then on the changed requests are part of what is taken as
usual.
"""

from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from monitoring.bets import GRID, grid
from monitoring.binning import BINS, MISSING, Bins

THRESHOLD = 1_000_000.0
RECENT = 512  # requests whose bins are kept
UNKNOWN = 255  # the bin of a score that a request has not

_GROUPS = 11  # coarse bins: what is missing, a hundredth at either end, eight between
_CELLS = BINS + _GROUPS
_MEMORIES = (300, 100, 1000)  # of the learning bets, in requests
_COARSE = np.array([0, 1, 1])  # which of them look at coarse bins
_STARTS = np.array([0, BINS, BINS + _GROUPS])  # of their histograms, in a row of all
_LEARNED = BINS + 2 * _GROUPS
_PRIORS = np.array([40.0, 15.0, 15.0])  # requests that their histograms hold from the beginning
_KEPT = 0.1  # of what a learning bet has, it stakes nothing
_LEARNING = 0.3  # the learning bets' share
_RESCALE = 512
_MOST = 1e15
_HISTORY = 128

Array = npt.NDArray[Any]


class Evidence(msgspec.Struct, kw_only=True):
    """The test's state after ``count`` requests; advanced by one writer, since the order of requests matters.

    ``seen`` is by season and score, as not all requests have all. ``urn`` holds weights by season, score and
    cell (bins and coarse bins), ``sums`` by season, score and bet the urn's weights times the bet's
    densities; ``learned`` the learning bets' histograms by score, ``statistic`` R by score and bet;
    ``recent`` is a ring of the bins of the last requests, ``history`` the largest evidence in every
    ``stride`` requests.
    """

    count: int
    seen: Array  # requests of each season and score that the urn holds
    urn: Array
    sums: Array
    learned: Array
    statistic: Array
    recent: Array
    history: list[float]
    stride: int = 64
    alarm_at: int | None = None
    alarm_score: int | None = None


class Prepared(NamedTuple):
    """What the test needs of a baseline, worked out once."""

    table: Array  # [scores * BINS, GRID] float64
    bet_weights: Array  # [scores, bets]
    shares: Array  # of the scores, of sum 1
    groups: Array  # [scores, BINS]: the coarse bin of each
    weights: Array  # [seasons, scores, BINS]
    totals: Array  # [seasons, scores]


def prepare(bins: Bins, shares: Array, categorical: Array, seasonal: Array | None = None) -> Prepared:
    """Tables for the bets; ``seasonal``: the calibration data's counts, [seasons, scores, BINS]."""
    table, fixed = grid(bins, categorical)
    learning = np.full((len(table), len(_MEMORIES)), _LEARNING / len(_MEMORIES))
    if seasonal is None:
        weights, totals = bins.weights[None], bins.counts[None] + 1.0
    else:
        # These bins are not cut at the season's own order statistics: one more in each is then on the safe
        # side, as the mean of p (n + 1) / (count + 1) is below 1 for a binomial count.
        weights, totals = seasonal + (bins.weights > 0), seasonal.sum(axis=2) + 1.0
    return Prepared(
        table.reshape(-1, GRID),
        np.concatenate([fixed * (1 - _LEARNING), learning], axis=1),
        shares / shares.sum(),
        _groups(bins.weights),
        weights,
        totals,
    )


def begin(prepared: Prepared) -> Evidence:
    """The state before the first request."""
    seasons, scores, _ = prepared.weights.shape
    cells = np.zeros((seasons, scores, _CELLS))
    cells[:, :, :BINS] = prepared.weights
    for group in range(_GROUPS):
        inside = prepared.groups == group
        cells[:, :, BINS + group] = (prepared.weights * inside).sum(axis=2)
    table = prepared.table.reshape(scores, BINS, GRID)
    return Evidence(
        count=0,
        seen=np.zeros((seasons, scores), np.int64),
        urn=cells,
        sums=np.einsum("hsk,skg->hsg", prepared.weights, table),
        learned=np.zeros((scores, _LEARNED)),
        statistic=np.zeros((scores, GRID + len(_MEMORIES))),
        recent=np.full((RECENT, scores), MISSING, np.uint8),
        history=[],
    )


def evidence_of(prepared: Prepared, state: Evidence) -> Array:
    """By score: 1 is an alarm."""
    statistic = np.einsum("sg,sg->s", state.statistic, prepared.bet_weights)
    return np.asarray(statistic * (prepared.shares / THRESHOLD))


def advance(
    prepared: Prepared, state: Evidence, placed: Array, seasons: Array, known: Array | None = None
) -> None:
    """Look at requests in their order; ``placed`` are their bins, [requests, scores].

    ``known``: which scores they have, all by default; nothing is bet on the others, and nothing learnt of
    them. ``state`` is changed in place.
    """
    hidden = np.flatnonzero([] if known is None else ~known)
    is_partial = hidden.size > 0
    shown: Any = np.flatnonzero(known) if known is not None and is_partial else slice(None)
    cells_of, places_of, rows = _where(prepared, placed)
    reach = prepared.shares / THRESHOLD
    decays = 1 - 1 / np.array(_MEMORIES)
    fading = np.repeat(decays, [BINS, _GROUPS, _GROUPS]) ** _RESCALE
    urns = state.urn.reshape(len(state.seen), -1)
    learned = state.learned.reshape(-1)
    statistic, fixed, learning = state.statistic, state.statistic[:, :GRID], state.statistic[:, GRID:].T
    for index, season in enumerate(seasons):
        urn, sums = urns[season], state.sums[season]
        totals = prepared.totals[season] + state.seen[season]
        cells, places = cells_of[index], places_of[index]
        # The histograms fade: what is new is added on a growing scale, which is taken back now and then.
        phase = state.count % _RESCALE
        if phase == 0:
            state.learned *= fading
        scale = decays[:, None] ** phase
        held = (1 - decays**state.count) / (1 - decays)
        drawn = learned.take(places) * scale / (urn.take(cells) / totals)[_COARSE]
        gained = (drawn + _PRIORS[:, None]) / (held + _PRIORS)[:, None]
        factors = prepared.table.take(rows[index], axis=0)
        if phase % 4 == 0:
            np.minimum(statistic, _MOST, out=statistic)
        before = statistic[hidden] if is_partial else None
        statistic += 1
        fixed *= factors
        fixed *= totals[:, None] / sums
        learning *= _KEPT + (1 - _KEPT) * gained
        if is_partial:
            statistic[hidden] = before
        # Only now may the urn and the histograms know the request.
        learned[places[:, shown]] += 1 / scale / decays[:, None]
        urn[cells[:, shown].reshape(-1)] += 1
        sums[shown] += factors[shown]
        state.seen[season, shown] += 1
        state.recent[state.count % RECENT] = placed[index]
        if is_partial:
            state.recent[state.count % RECENT, hidden] = UNKNOWN
        state.count += 1
        _judge(state, np.einsum("sg,sg->s", statistic, prepared.bet_weights) * reach)


def _where(prepared: Prepared, placed: Array) -> tuple[Array, Array, Array]:
    """Of each request and score: two cells of the urn, places in three histograms, and the bets' row."""
    every = np.arange(placed.shape[1])
    grouped = np.take_along_axis(prepared.groups, placed.T.astype(np.intp), axis=1).T
    cells = np.stack([placed, BINS + grouped], axis=1) + every * _CELLS
    places = np.stack([placed, grouped, grouped], axis=1) + _STARTS[:, None] + every * _LEARNED
    return cells, places, placed + every * BINS


def _judge(state: Evidence, evidence: Array) -> None:
    """Raise the alarm, and remember the evidence."""
    most = int(evidence.argmax())
    if state.alarm_at is None and evidence[most] >= 1:
        state.alarm_at, state.alarm_score = state.count - 1, most
    if (state.count - 1) % state.stride == 0:
        if len(state.history) == _HISTORY:
            state.history = [max(state.history[i : i + 2]) for i in range(0, _HISTORY, 2)]
            state.stride *= 2
        state.history.append(0.0)
    state.history[-1] = max(state.history[-1], float(evidence[most]))


def latest(state: Evidence) -> tuple[int, Array]:
    """The number of the first request whose bins are kept, and the bins in their order."""
    kept = min(state.count, RECENT)
    first = state.count - kept
    return first, state.recent[np.arange(first, state.count) % RECENT]


def _groups(weights: Array) -> Array:
    """The coarse bin of each bin, by the rank in its middle."""
    shares = weights[:, :MISSING] / np.maximum(weights[:, :MISSING].sum(axis=1, keepdims=True), 1)
    middles = np.cumsum(shares, axis=1) - shares / 2
    groups = np.zeros((len(weights), BINS), np.intp)
    groups[:, :MISSING] = np.where(
        middles < 0.01, 1, np.where(middles > 0.99, 2, 3 + np.clip((middles * 8).astype(int), 0, 7))
    )
    return groups
