import numpy as np
import pytest

from optimizer.quantize.ranges import (
    least_error,
    observe,
    observe_channels,
    scale_and_zero_point,
    scales_and_zero_points,
)


def test_one_outlier_does_not_set_the_range(rng):
    rows = np.append(rng.normal(size=1_000_000), 30).astype(np.float32)[None]
    low, high = least_error(rows)
    assert high < 25
    assert -6 < low < -3


def test_each_end_is_drawn_in_alone(rng):
    """After HardSwish nothing is below -0.375, and only the upper end has outliers."""
    x = rng.normal(size=1_000_000)
    rows = np.append(x * np.clip(x / 6 + 0.5, 0, 1), 12).astype(np.float32)[None]
    low, high = least_error(rows)
    assert low < -0.34
    assert high < 8


@pytest.mark.parametrize("values", [[1, 2, 3], [-3, -2], [0, 0], [5]])
def test_the_range_holds_zero(values):
    low, high = least_error(np.array([values], np.float32))
    assert low <= 0 <= high
    scale, zero_point = scale_and_zero_point(float(low[0]), float(high[0]))
    assert scale > 0
    assert 0 <= zero_point <= 255


def test_inner_values_are_observed_over_all_samples(make):
    model = make("g (float[n] x) => (float[n] y) { h = Relu (x) y = Neg (h) }")
    samples = [{"x": np.array([-4, value], np.float32)} for value in (1, 2)]
    ranges = observe(model.SerializeToString(), ["h", "x"], samples, seed=0)
    assert set(ranges) == {"h", "x"}
    low, high = ranges["h"][0]
    assert low == 0
    assert 1.9 <= high <= 2


def test_a_value_that_is_not_finite_has_no_range(make):
    model = make("g (float[n] x) => (float[n] y) { h = Log (x) y = Neg (x) }")
    assert observe(model.SerializeToString(), ["h"], [{"x": np.zeros(2, np.float32)}], seed=0) == {}


def test_every_channel_has_its_own_range(make):
    model = make("g (float[1, 3, n] x) => (float[1, 3, n] y) { h = Relu (x) y = Neg (h) }")
    x = np.array([[[1, 2], [10, 20], [-1, -2]]], np.float32)
    low, high = observe_channels(model.SerializeToString(), ["h"], [{"x": x}], seed=0)["h"]
    assert low.tolist() == [0, 0, 0]
    np.testing.assert_allclose(high, [2, 20, 0], rtol=0.05)


def test_a_channel_that_hardly_moves_has_no_tiny_scale():
    scale, zero_point = scales_and_zero_points(np.zeros(2, np.float32), np.array([0, 255], np.float32))
    np.testing.assert_allclose(scale, [1e-3, 1])
    assert zero_point.tolist() == [0, 0]
