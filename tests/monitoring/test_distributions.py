import msgspec
import numpy as np
import pytest

from monitoring.distributions import PROBABILITIES, Baseline, Summary, decode, encode


def summarise(*arrays):
    summary = Summary()
    for array in arrays:
        summary.add(np.asarray(array))
    return summary.result()


def test_moments_and_quantiles_are_those_of_all_samples():
    rng = np.random.default_rng(0)
    samples = [rng.normal(loc=5, size=(20, 10)) for _ in range(30)]
    result = summarise(*samples)
    values = np.concatenate([sample.reshape(-1) for sample in samples])
    assert result.samples == 30
    assert result.count == values.size
    assert result.numbers.mean == pytest.approx(values.mean())
    assert result.numbers.std == pytest.approx(values.std())
    assert result.numbers.quantiles == pytest.approx(np.quantile(values, PROBABILITIES).tolist())


def test_samples_larger_than_what_is_kept_give_exact_extremes():
    values = np.random.default_rng(0).normal(size=200_000)
    values[1234] = 99
    numbers = summarise(values[None], values[None] * 0).numbers
    assert numbers.max == numbers.quantiles[-1] == 99
    assert numbers.min == values.min()


def test_missing_values_are_a_share_and_leave_the_moments_alone():
    result = summarise([1.0, np.nan], [np.inf, 3.0])
    assert result.nan_share == 0.5
    assert (result.numbers.mean, result.numbers.min, result.numbers.max) == (2, 1, 3)


def test_all_missing():
    result = summarise([np.nan])
    assert result.nan_share == 1
    assert result.numbers is None


def test_integers_have_categories_too():
    result = summarise([1, 1, 2], [1])
    assert result.categories.shares == {"1": 0.75, "2": 0.25}
    assert result.numbers.mean == 1.25


def test_scores_have_a_distribution_of_classes():
    result = summarise([[0.1, 0.9]], [[0.2, 0.8]], [[0.7, 0.3]], [[0.0, 1.0]])
    assert result.classes.shares == {"1": 0.75, "0": 0.25}


def test_a_text_that_came_once_is_not_kept():
    result = summarise(np.array(["yes", "yes", "my name is Jane"], dtype=object))
    assert result.categories.shares == {"yes": 2 / 3}
    assert result.categories.distinct == 2
    assert result.nan_share == 0


def test_memory_is_bounded_for_many_categories():
    result = summarise(*(np.arange(start, start + 9_000) for start in range(0, 90_000, 9_000)))
    assert result.categories.distinct <= 10_000
    assert len(result.categories.shares) == 32


def test_the_file_is_read_as_it_was_written_and_equal_baselines_are_equal_bytes():
    baseline = Baseline(inputs={"x": summarise([1.0, 2.0])}, outputs={"y": summarise([[0.1, 0.9]])})
    assert decode(encode(baseline)) == baseline
    again = Baseline(inputs={"x": summarise([1.0, 2.0])}, outputs={"y": summarise([[0.1, 0.9]])})
    assert encode(again) == encode(baseline)


@pytest.mark.parametrize(
    "change", [{"schema_version": 2}, {"more": 1}, {"inputs": {"x": {"samples": "three"}}}]
)
def test_another_schema_is_refused(change):
    data = {**msgspec.json.decode(encode(Baseline(inputs={}, outputs={}))), **change}
    with pytest.raises(msgspec.ValidationError):
        decode(msgspec.json.encode(data))
