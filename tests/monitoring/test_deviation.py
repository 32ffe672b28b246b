import numpy as np
import pytest

from monitoring.baseline import decode, encode
from monitoring.build import build
from monitoring.deviation import EXPECTED, answers, error, figure, measure, nearness
from monitoring.quality import Quality, advance


def heavy(rng, count):
    """Errors whose mean square hardly exists."""
    return np.abs(rng.standard_t(2.5, count))


def watch(known, errors):
    quality, urn = Quality(verified=EXPECTED, samples=0), []
    for part in np.array_split(errors, 20):
        advance(quality, np.array(nearness(known, urn, part.tolist())))
    return quality


def test_errors_like_the_verified_ones_raise_no_alarm_however_few_were_verified():
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(60):
        known = measure("y", "rmse", heavy(rng, 60).tolist())
        alarms += watch(known, heavy(rng, 2000)).alarm_at is not None
    assert alarms <= 4  # 0.6 are promised at most; more than four standard errors above


def test_errors_that_are_30_per_cent_larger_are_found():
    rng = np.random.default_rng(1)
    found = []
    for _ in range(15):
        known = measure("y", "mae", np.abs(rng.normal(size=1000)).tolist())
        stream = np.abs(rng.normal(size=2500)) * np.where(np.arange(2500) < 500, 1.0, 1.3)
        quality = watch(known, stream)
        assert quality.alarm_at is None or quality.alarm_at >= 500
        found.append(np.inf if quality.alarm_at is None else quality.alarm_at - 499)
    assert np.median(found) <= 400


def test_smaller_errors_are_no_alarm():
    rng = np.random.default_rng(2)
    known = measure("y", "rmse", heavy(rng, 500).tolist())
    assert watch(known, 0.2 * heavy(rng, 2000)).evidence < 0.01


def test_an_error_that_is_no_number_is_the_largest_and_few_samples_say_nothing():
    known = measure("y", "rmse", np.arange(100.0).tolist())
    urn = []
    near, far = nearness(known, urn, [0.5, float("nan")])
    assert (near > 0.9, far < 0.02) == (True, True)
    assert sum(urn) == pytest.approx(known.weights.sum() + 2)
    assert measure("y", "rmse", [1.0] * 19) is None


def test_what_an_answer_is_held_against():
    assert answers("rmse", np.float32([[1, 2], [3, 4]])) == [[1, 2], [3, 4]]
    assert answers("rmse", np.zeros((2, 9))) is None
    (probability,), (of_scores,) = answers("auc", np.array([[0.25, 0.75], [-1.0, 1.0]]))
    assert probability == 0.75
    assert of_scores == pytest.approx(1 / (1 + np.exp(-2)))
    assert error("rmse", [0.0, 0.0], [3, 4]) == pytest.approx(np.sqrt(12.5))
    assert error("mae", [1.0], 3) == 2
    assert error("log-loss", [0.75], True) == 0.25
    for label in ("far", [1, 2], None):
        with pytest.raises(ValueError, match="its label is"):
            error("mae", [1.0], label)
    with pytest.raises(ValueError, match="neither 0 nor 1"):
        error("auc", [0.5], 2)
    assert figure("rmse", [3, 4]) == pytest.approx(np.sqrt(12.5))
    assert figure("log-loss", [0.5, 0.5]) == pytest.approx(np.log(2))
    assert figure("auc", [0.5]) is None


def test_a_baseline_without_it_has_the_bytes_that_it_always_had():
    x = np.random.default_rng(0).normal(size=(50, 2))
    data = encode(build({"x": x}, {"y": x[:, :1]}))
    assert b"deviation" not in data
    assert encode(decode(data)) == data
