import numpy as np
import pytest

from optimizer.data import Sample
from optimizer.errors import InputError
from optimizer.evaluate import Judge, outputs_of
from optimizer.metrics import find_metric
from optimizer.runtime import optimised_session


@pytest.fixture
def samples(rng):
    return [Sample({"x": rng.normal(size=(1, 8)).astype(np.float32)}) for _ in range(200)]


def session(make, noise=0.0):
    weight = np.eye(8, dtype=np.float32) + noise * np.random.default_rng(1).normal(size=(8, 8)).astype(
        np.float32
    )
    model = make("g (float[n, 8] x) => (float[n, 8] y) { y = MatMul (x, w) }", w=weight)
    return optimised_session(model.SerializeToString())


def test_outputs_come_in_the_order_of_the_samples(make, samples):
    got = outputs_of(session(make), samples, ["y"], lambda at, outputs: (at, outputs["y"]))
    assert [at for at, _ in got] == list(range(200))
    np.testing.assert_allclose(got[7][1], samples[7].feeds["x"], rtol=1e-6)


def test_the_interval_holds_the_drop_and_narrows_with_samples(make, samples):
    judge = Judge(find_metric("agreement"), session(make), ["y"], seed=0)
    few, many = judge.score(session(make, 0.1), samples[:50]), judge.score(session(make, 0.1), samples)
    for scores in (few, many):
        assert scores.before == 1
        assert scores.low <= scores.drop <= scores.high
        assert scores.drop == pytest.approx(1 - scores.after)
    assert many.high - many.low < few.high - few.low


def test_the_comparison_is_paired(make, samples):
    """A model beside itself drops nothing, however much its metric varies from sample to sample."""
    labelled = [Sample(sample.feeds, np.array(index % 8)) for index, sample in enumerate(samples)]
    scores = Judge(find_metric("accuracy"), session(make), ["y"], 0).score(session(make), labelled)
    assert (scores.drop, scores.low, scores.error) == (0, 0, 0)
    assert 0 < scores.before < 1


def test_where_no_answer_changed_the_interval_follows_from_the_number_of_samples(make, samples):
    labelled = [Sample(sample.feeds, np.array(index % 8)) for index, sample in enumerate(samples)]
    judge = Judge(find_metric("accuracy"), session(make), ["y"], 0)
    few, many = judge.score(session(make), labelled[:50]), judge.score(session(make), labelled)
    assert few.high == pytest.approx(0.0711, abs=1e-4)  # Clopper and Pearson: none of 50
    assert many.high < 0.3 * few.high
    assert Judge(find_metric("cosine"), session(make), ["y"], 0).score(session(make), samples).high == 0


def test_a_metric_that_is_no_mean_is_computed_anew_on_every_resample(make, samples):
    scores = Judge(find_metric("rmse"), session(make), ["y"], 0).score(session(make, 0.1), samples)
    assert scores.before == 0
    assert 0 < scores.low < scores.drop < scores.high


def test_the_same_seed_gives_the_same_interval(make, samples):
    first, second = (
        Judge(find_metric("rmse"), session(make), ["y"], 3).score(session(make, 0.1), samples)
        for _ in range(2)
    )
    assert first == second


def test_a_drop_in_decimals_is_what_a_person_writes(make):
    right, wrong = np.eye(8, dtype=np.float32)[:1], np.eye(8, dtype=np.float32)[1:2]
    samples = [Sample({"x": right if at < 198 else wrong}) for at in range(200)]
    swap = np.eye(8, dtype=np.float32)
    swap[1] = swap[2]
    model = make("g (float[n, 8] x) => (float[n, 8] y) { y = MatMul (x, w) }", w=swap)
    changed = optimised_session(model.SerializeToString())
    scores = Judge(find_metric("agreement"), session(make), ["y"], 0).score(changed, samples)
    assert scores.after == 0.99
    assert scores.drop <= 0.01


def test_a_metric_without_a_value_is_refused(make):
    nan = [Sample({"x": np.full((1, 8), np.nan, np.float32)})]
    judge = Judge(find_metric("cosine"), session(make), ["y"], 0)
    with pytest.raises(InputError, match="not finite"):
        judge.score(session(make), nan)
