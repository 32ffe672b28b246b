import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from monitoring.binning import BINS, MISSING, cut, place

DRAWS = {
    "normal": lambda rng, n: rng.normal(size=n),
    "heavy": lambda rng, n: rng.standard_cauchy(n),
    "counts": lambda rng, n: rng.poisson(3, n).astype(float),
    "mostly zero": lambda rng, n: np.where(rng.random(n) < 0.8, 0, rng.normal(size=n)),
    "rounded": lambda rng, n: np.round(rng.normal(size=n), 1),
    "some missing": lambda rng, n: np.where(rng.random(n) < 0.1, np.nan, rng.normal(size=n)),
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
@pytest.mark.parametrize("count", [60, 500])
def test_over_many_baselines_a_request_falls_into_each_bin_as_often_as_its_weight_says(draw, count):
    rng = np.random.default_rng(0)
    baselines, requests = 400, 200
    expected, seen, weights = np.zeros(BINS), np.zeros(BINS), np.zeros(BINS)
    for _ in range(baselines):
        bins = cut(draw(rng, count)[:, None])
        weights += bins.weights[0] / baselines
        expected += bins.weights[0] / (count + 1) * requests
        seen += np.bincount(place(bins, draw(rng, requests)[:, None])[:, 0], minlength=BINS)
    # A bin's true mass varies by its weight's root, and the requests in it by theirs.
    error = expected / np.sqrt(np.maximum(weights, 0.1) * baselines) + np.sqrt(expected) + 1
    assert (seen <= expected + 4 * error).all()
    # The ends and what is missing have a gap each, of which there is one less.
    assert count + 1 <= weights.sum() <= count + 3.01


@given(
    hnp.arrays(np.float64, st.integers(1, 300), elements=st.floats(allow_nan=True, allow_infinity=True)),
    hnp.arrays(np.float64, 5, elements=st.floats(allow_nan=True, allow_infinity=True)),
)
def test_every_value_has_a_bin_of_some_weight(calibration, requests):
    bins = cut(calibration[:, None])
    edges = bins.edges[0][np.isfinite(bins.edges[0])]
    assert (edges[1:] > edges[:-1]).all()
    placed = place(bins, requests[:, None])[:, 0]
    assert (bins.weights[0, placed] >= 1).all()
    assert (placed == MISSING).tolist() == np.isnan(requests).tolist()
    counts = np.bincount(place(bins, calibration[:, None])[:, 0], minlength=BINS)
    held = counts > 0
    np.testing.assert_array_equal(bins.weights[0, held], counts[held])


def test_what_lies_beyond_the_calibration_data_has_bins_of_its_own():
    bins = cut(np.arange(1000.0)[:, None])
    placed = place(bins, np.array([[-1.0], [0.0], [999.0], [1000.0], [np.inf], [-np.inf]]))[:, 0]
    assert placed[0] == placed[5] == 0
    assert placed[1] == 1
    assert placed[3] == placed[4] == placed[2] + 1
    assert bins.weights[0, placed].tolist() == [1, 2, 2, 1, 1, 1]
