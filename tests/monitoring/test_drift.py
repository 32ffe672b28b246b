"""The guarantee: how often clean streams alarm, and what the test's own bound allows."""

import numpy as np
import pytest

from monitoring import drift
from monitoring.binning import cut, place
from tests.monitoring.test_binning import DRAWS

COLUMNS = list(DRAWS.values())


def draw(rng, count):
    return np.stack([one(rng, count) for one in COLUMNS], axis=1)


def begin(rng, count):
    bins = cut(draw(rng, count))
    prepared = drift.prepare(bins, np.ones(len(COLUMNS)), np.array([False, False, True, False, False, False]))
    return bins, prepared, drift.begin(prepared)


def advance(bins, prepared, state, requests):
    drift.advance(prepared, state, place(bins, requests), np.zeros(len(requests), int))


@pytest.mark.parametrize("count", [100, 1000])
def test_clean_streams_reach_no_more_evidence_than_the_bound_allows(count):
    rng = np.random.default_rng(1)
    length, streams = 500, 120
    most = []
    for _ in range(streams):
        bins, prepared, state = begin(rng, count)
        advance(bins, prepared, state, draw(rng, length))
        most.append(max(state.history))
    most = np.array(most)
    # P(evidence >= k N / c) <= 1 / k; three standard errors of the streams' number are allowed for.
    for k in (2, 5, 10, 50):
        allowed = 1 / k + 3 * np.sqrt(1 / k / streams)
        assert (most >= k * length / drift.THRESHOLD).mean() <= allowed
    assert (most < 1).all()


def test_a_baseline_that_is_off_by_chance_is_not_taken_for_drift():
    """The trap: a baseline of 60 samples is far from the truth, and there are 20,000 requests to find it."""
    for seed in range(4):
        rng = np.random.default_rng(seed)
        bins, prepared, state = begin(rng, 60)
        for _ in range(20):
            advance(bins, prepared, state, draw(rng, 1000))
        assert state.alarm_at is None


def changed(rng, count, name):
    x = draw(rng, count)
    if name == "shift":
        x[:, 0] += 1
    elif name == "factor":
        x[:, 1] *= 1000
    elif name == "missing":
        x[rng.random(count) < 0.5, 0] = np.nan
    elif name == "a value is gone":
        x = x[x[:, 2] != 2]
    elif name == "a tenth foreign":
        x[rng.random(count) < 0.1, 3] = 9
    return x


@pytest.mark.parametrize(
    ("name", "within"),
    [("shift", 100), ("factor", 15), ("missing", 15), ("a value is gone", 150), ("a tenth foreign", 150)],
)
def test_a_change_is_found_soon(name, within):
    delays = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        bins, prepared, state = begin(rng, 1000)
        advance(bins, prepared, state, draw(rng, 1000))
        assert state.alarm_at is None
        advance(bins, prepared, state, changed(rng, 400, name))
        assert state.alarm_at is not None
        delays.append(state.alarm_at - 999)
    assert np.median(delays) <= within


def test_a_larger_baseline_finds_a_subtler_drift_at_the_same_storage():
    delays = {}
    for count in (300, 5000):
        found = []
        for seed in range(5):
            rng = np.random.default_rng(seed)
            bins, prepared, state = begin(rng, count)
            requests = draw(rng, 3000)
            requests[:, 0] += 0.3
            advance(bins, prepared, state, requests)
            found.append(3000 if state.alarm_at is None else state.alarm_at)
        delays[count] = np.median(found), sum(array.nbytes for array in bins[:2])
    assert delays[5000][0] < delays[300][0] / 2
    assert delays[5000][1] == delays[300][1]


def test_the_state_does_not_depend_on_how_requests_are_cut_into_batches():
    rng = np.random.default_rng(0)
    bins, prepared, state = begin(rng, 300)
    requests = draw(rng, 700)
    advance(bins, prepared, state, requests)
    other = drift.begin(prepared)
    start = 0
    while start < len(requests):
        size = int(rng.integers(1, 90))
        advance(bins, prepared, other, requests[start : start + size])
        start += size
    np.testing.assert_array_equal(state.statistic, other.statistic)
    np.testing.assert_array_equal(state.urn, other.urn)
    assert state.history == other.history


def test_an_alarm_stands_and_evidence_stays_finite():
    rng = np.random.default_rng(0)
    bins, prepared, state = begin(rng, 1000)
    advance(bins, prepared, state, changed(rng, 500, "factor"))
    at = state.alarm_at
    advance(bins, prepared, state, draw(rng, 500))
    assert state.alarm_at == at
    assert np.isfinite(drift.evidence_of(prepared, state)).all()


def test_the_history_stays_short():
    rng = np.random.default_rng(0)
    bins, prepared, state = begin(rng, 100)
    for _ in range(10):
        advance(bins, prepared, state, draw(rng, 2000))
    assert len(state.history) <= 128
    assert (len(state.history) - 1) * state.stride < 20_000 <= len(state.history) * state.stride
