import numpy as np
import pytest

from optimizer.quantize.ranges import least_error, observe, scale_and_zero_point


def test_one_outlier_does_not_set_the_range(rng):
    values = np.append(rng.normal(size=1_000_000), 30).astype(np.float32)
    low, high = least_error(values)
    assert high < 25
    assert low <= 0


@pytest.mark.parametrize("values", [[1, 2, 3], [-3, -2], [0, 0], [5]])
def test_the_range_holds_zero(values):
    low, high = least_error(np.array(values, np.float32))
    assert low <= 0 <= high
    scale, zero_point = scale_and_zero_point(low, high)
    assert scale > 0
    assert 0 <= zero_point <= 255


def test_inner_values_are_observed_over_all_samples(make):
    model = make("g (float[n] x) => (float[n] y) { h = Relu (x) y = Neg (h) }")
    samples = [{"x": np.array([-4, value], np.float32)} for value in (1, 2)]
    ranges = observe(model.SerializeToString(), ["h", "x"], samples, seed=0)
    assert set(ranges) == {"h", "x"}
    assert ranges["h"][0] == 0
    assert 1.9 <= ranges["h"][1] <= 2


def test_a_value_that_is_not_finite_has_no_range(make):
    model = make("g (float[n] x) => (float[n] y) { h = Log (x) y = Neg (x) }")
    assert observe(model.SerializeToString(), ["h"], [{"x": np.zeros(2, np.float32)}], seed=0) == {}
