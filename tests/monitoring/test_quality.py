import numpy as np
import pytest

from monitoring.quality import Quality, advance
from monitoring.silence import Traffic, is_silent, note


def test_false_alarms_are_as_rare_as_promised():
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(150):
        quality = Quality(verified=0.95, samples=0)
        advance(quality, rng.random(2000) < 0.95)
        alarms += quality.alarm_at is not None
    assert alarms <= 6  # 1.5 are promised at most; three standard errors more


@pytest.mark.parametrize("before", [0, 600])
def test_a_drop_from_95_to_90_per_cent_is_found_within_350_labels(before):
    rng = np.random.default_rng(1)
    delays = []
    for _ in range(60):
        quality = Quality(verified=0.95, samples=0)
        advance(quality, rng.random(before) < 0.95)
        advance(quality, rng.random(3000) < 0.90)
        assert quality.alarm_at is not None
        delays.append(quality.alarm_at + 1 - before)
    assert np.median(delays) <= 350


def test_a_figure_of_few_samples_is_not_taken_for_exact():
    """Verified 95 % on 100 samples may be 90 % in truth; on so few that is no drop."""
    rng = np.random.default_rng(2)
    quality = Quality(verified=0.95, samples=100)
    advance(quality, rng.random(3000) < 0.92)
    assert quality.alarm_at is None
    exact = Quality(verified=0.95, samples=0)
    advance(exact, rng.random(3000) < 0.92)
    assert exact.alarm_at is not None


def test_better_than_verified_is_no_alarm_and_batches_do_not_matter():
    values = np.random.default_rng(3).random(900) < 0.97
    whole, parts = Quality(verified=0.9, samples=400), Quality(verified=0.9, samples=400)
    advance(whole, values)
    for start in range(0, 900, 7):
        advance(parts, values[start : start + 7])
    assert whole == parts
    assert whole.alarm_at is None
    assert whole.evidence < 0.01


def test_a_metric_outside_of_0_and_1_is_refused():
    with pytest.raises(ValueError, match="between 0 and 1"):
        advance(Quality(verified=0.9, samples=0), np.array([0.5, 1.5]))


def test_silence_is_named_where_there_was_traffic():
    hour = 3600.0
    traffic = Traffic()
    assert not is_silent(traffic, 1e9)
    busy = np.concatenate([day * 24 * hour + 9 * hour + np.arange(0, 8 * hour, 60) for day in range(14)])
    note(traffic, busy)
    end = 13 * 24 * hour + 17 * hour
    assert not is_silent(traffic, end + 10 * hour)  # nobody asks by night
    assert not is_silent(traffic, end + 16 * hour + 15 * 60)
    assert is_silent(traffic, end + 17 * hour)
    note(traffic, np.array([end + 16.9 * hour]))
    assert not is_silent(traffic, end + 17 * hour)


def test_traffic_may_be_counted_in_any_order_and_is_bounded():
    times = np.random.default_rng(0).random(5000) * 3600 * 24 * 60
    one, other = Traffic(), Traffic()
    note(one, times)
    for part in np.array_split(np.sort(times)[::-1], 9):
        note(other, part)
    assert one == other
    assert len(one.hours) <= 336
