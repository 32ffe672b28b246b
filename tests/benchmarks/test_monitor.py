"""The streams of `make bench-monitor` are what they claim, and its tables read what the tools write."""

import json
import sys

import numpy as np
import pytest

from benchmarks.monitors import drifts, tools, watching
from benchmarks.monitors.drifts import DRIFTS, GOALS, Drift, missing, rotation, scaled, stream
from benchmarks.monitors.subjects import Subject


@pytest.fixture
def source(monkeypatch):
    def draw(random, count, where):
        labels = random.integers(0, 4, count)
        if where is not None:
            weights = np.asarray(where(np.arange(4)), float)
            labels = random.choice(4, count, p=weights / weights.sum())
        return random.normal(size=(count, 3)) + labels[:, None], labels

    made = Subject("made", ("a", "b", "c"), draw, lambda x: {"y": x[:, :1]}, lambda x: {"x": x})
    for module in (drifts, tools):
        monkeypatch.setattr(module, "subject", lambda name: made)
    return made


def made_stream(**changes):
    return stream(Drift("made", "family", "title", False, **changes), np.random.default_rng(0), 2000)


def test_nothing_is_changed_before_the_change_and_its_share_after(source):
    x, _, at = made_stream(change=missing(1, 1.0), share=0.1)
    assert drifts.CHANGE <= at < drifts.CHANGE + drifts.PHASE
    assert not np.isnan(x[:at]).any()
    assert np.isnan(x[at:, 1]).mean() == pytest.approx(0.1, abs=0.03)
    assert not np.isnan(x[:, [0, 2]]).any()


def test_a_gradual_change_comes_gradually(source):
    x, _, at = made_stream(change=missing(0, 1.0), gradual=True)
    gone = np.isnan(x[at:, 0])
    assert gone[:100].mean() < 0.2
    assert gone[400:500].mean() > 0.7
    assert gone[500:].all()


def test_a_class_can_be_missing_or_more_frequent(source):
    _, labels, at = made_stream(where=lambda y: y != 2)
    assert 2 in labels[:at]
    assert 2 not in labels[at:]
    _, labels, at = made_stream(where=lambda y: np.where(y == 1, 3.0, 1.0))
    assert (labels[at:] == 1).mean() == pytest.approx(0.5, abs=0.05)


def test_a_column_is_scaled_and_a_picture_turned():
    x = np.random.default_rng(0).random((5, 64))
    scaled_by_2 = scaled(3, 2.0)(np.random.default_rng(0), x)
    assert (scaled_by_2[:, 3] == 2 * x[:, 3]).all()
    assert (np.delete(scaled_by_2, 3, axis=1) == np.delete(x, 3, axis=1)).all()
    turned = rotation(90)(np.random.default_rng(0), x).reshape(5, 8, 8)
    np.testing.assert_allclose(turned, np.rot90(x.reshape(5, 8, 8), axes=(2, 1)), atol=1e-9)


def test_every_goal_has_streams_that_were_not_developed_on():
    for family in GOALS:
        assert [one for one in DRIFTS if one.family == family and not one.developed and not one.gradual]
    assert len({one.name for one in DRIFTS}) == len(DRIFTS)


def test_a_tools_alarms_are_read_as_it_wrote_them(source, tmp_path, monkeypatch):
    tool = tools.Tool("made", "Made", ("mean",), 1, 500)
    change = Drift("made", "family", "title", False, change=scaled(0, 100.0))
    monkeypatch.setattr(tools, "DRIFTS", (change,))
    monkeypatch.setattr(tools, "_CLEAN", 300)
    written = tools._write(tmp_path, tool, 200)
    report = tmp_path / "report.json"
    monkeypatch.setattr(sys, "argv", ["tool", str(tmp_path), str(report)])

    def watch(reference, x):
        for end, window in watching.windows(x, 100):
            yield end, {"mean": bool(abs(window[:, 0]).mean() > 20)}

    watching.main(watch, ("mean",))
    said = json.loads(report.read_text())
    heard = [tools._heard(what, at, said[name]) for name, (what, at) in written.items()]
    (found,) = [one for one in heard if one.change is change]
    assert 0 < found.delays["mean"] <= 200
    assert all(one.false == {"mean": 0} and not one.error for one in heard)
