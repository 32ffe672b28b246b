"""What people are shown beside the alarm: figures and findings."""

import numpy as np
import pytest

from monitoring.build import build
from monitoring.checks import findings
from monitoring.figures import FIGURES, figures
from monitoring.figures.base import Compared
from monitoring.monitor import Monitor
from monitoring.view import view
from tests.monitoring.subjects import table


@pytest.fixture(scope="module")
def baseline():
    return build(*table(np.random.default_rng(0), 2000))


def watched(baseline, change=lambda inputs: inputs, count=400, seed=1):
    monitor = Monitor(baseline)
    inputs, outputs = table(np.random.default_rng(seed), count)
    monitor.update(change(inputs), outputs)
    return view(monitor)


def column(index, change):
    def changed(inputs):
        x = inputs["x"].copy()
        x[:, index] = change(x[:, index])
        return {**inputs, "x": x}

    return changed


def test_clean_windows_exceed_no_threshold_and_have_no_finding(baseline):
    exceeded = total = found = 0
    for seed in range(20):
        seen = watched(baseline, seed=seed, count=200)
        for values in figures(seen).values():
            total += len(values)
            exceeded += sum(value > threshold for value, threshold in values.values())
        found += len(findings(seen))
    assert total > 500
    assert exceeded <= total / 100
    assert found == 0


@pytest.mark.parametrize("count", [100, 400])
def test_the_same_drift_exceeds_its_threshold_in_small_and_large_windows(baseline, count):
    seen = watched(baseline, column(1, lambda x: x + 2), count)
    moved = figures(seen)["x[1]"]
    assert set(moved) == {"PSI", "Kolmogorov-Smirnov", "Wasserstein"}
    assert all(figure.value > figure.threshold for figure in moved.values())
    assert moved["Wasserstein"].value == pytest.approx(2, rel=0.4)
    assert "chi-square" in figures(seen)["p: class"]


def test_the_figures_are_those_of_the_books():
    compared = Compared(np.array([10.0, 20, 70]), np.array([30.0, 30, 40]), np.array([0.0, 1.0]))
    assert FIGURES["Kolmogorov-Smirnov"](compared).value == pytest.approx(0.3)
    p, q = np.array([0.1, 0.2, 0.7]), np.array([0.3, 0.3, 0.4])
    assert FIGURES["PSI"](compared).value == pytest.approx(((p - q) * np.log(p / q)).sum(), rel=0.05)
    assert FIGURES["chi-square"](compared).value == pytest.approx(20.18, abs=0.01)
    # By hand: the distribution functions are apart by 0.2 and 0.3 at the edges 0 and 1.
    assert FIGURES["Wasserstein"](compared).value == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("change", "check", "feature", "says"),
    [
        (column(0, lambda x: np.where(np.arange(len(x)) % 2, np.nan, x)), "missing", "x[0]", "50.0%"),
        (column(1, lambda x: np.where(np.arange(len(x)) % 9, x, 99)), "out of range", "x[1]", "above"),
        (lambda i: {**i, "kind": np.full_like(i["kind"], "violet")}, "new category", "kind", "100.0%"),
        (lambda i: {**i, "rooms": i["rooms"] + 100}, "new category", "rooms", "100.0%"),
        (column(2, lambda x: x * 0 + 0.5), "constant", "x[2]", "all 0.5"),
        (
            lambda i: {name: np.repeat(v[:40], 10, axis=0) for name, v in i.items()},
            "duplicated",
            "requests",
            "90.0%",
        ),
    ],
)
def test_what_is_wrong_with_the_data_is_said(baseline, change, check, feature, says):
    found = {(one.check, one.feature): one.text for one in findings(watched(baseline, change))}
    assert says in found[check, feature]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda x: x * 1000, "multiplied by 1,000"),
        (lambda x: x / 1024, "divided by 1,024"),
        (lambda x: x / 25.4, "divided by 25.4"),
        (lambda x: x * 1.8 + 32, "degrees Fahrenheit"),
        (lambda x: x + 273.15, "kelvins"),
    ],
)
def test_a_wrong_unit_is_found_by_its_factor(change, says):
    rng = np.random.default_rng(0)
    y = {"y": np.zeros((1000, 1), np.float32)}
    warm = rng.normal(20, 6, (1000, 1)).clip(1)
    monitor = Monitor(build({"temperature": warm.astype(np.float32)}, y))
    again = rng.normal(20, 6, (300, 1)).clip(1)
    monitor.update({"temperature": change(again).astype(np.float32)}, {"y": y["y"][:300]})
    (unit,) = [one for one in findings(view(monitor)) if one.check == "wrong unit"]
    assert says in unit.text


@pytest.mark.parametrize("change", [lambda x: x + 3, lambda x: x * 1.3, lambda x: np.abs(x) ** 2])
def test_another_change_is_no_wrong_unit(baseline, change):
    assert not [one for one in findings(watched(baseline, column(1, change))) if one.check == "wrong unit"]
