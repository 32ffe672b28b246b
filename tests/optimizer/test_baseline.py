"""What `optimize` tells the monitors of labels and times, from the command to the monitor's status."""

import json

import boto3
import numpy as np
import onnx
import pytest
from moto import mock_aws

from bundle.registry import Registry
from coldpress.optimize import main
from monitoring.baseline import decode
from monitoring.deviation import Deviation, nearness
from optimizer.runtime import run, serving_session
from tests.handlers.monitor.world import NAME, NOON, REGISTRY, World

TEXT = """g (float[batch, 4] x) => (float[batch, 3] p) {
    h = MatMul (x, w1) r = Relu (h) p = MatMul (r, w2) }"""
HOUR, DAY = 3600.0, 86_400.0


@pytest.fixture
def press(make, rng, tmp_path, capsys):
    """Press the model with these data; gives the bundle's folder, or what the command said."""
    weights = {"w1": rng.normal(size=(4, 64)), "w2": rng.normal(size=(64, 3)) / 8}
    model = make(TEXT, **{name: np.float32(w) for name, w in weights.items()})
    onnx.save(model, tmp_path / "model.onnx")

    def call(calibration, evaluation, *more):
        for name, arrays in (("c", calibration), ("e", evaluation)):
            np.savez(tmp_path / f"{name}.npz", **arrays)
        arguments = ["model.onnx", "--calibration", "c.npz", "--evaluation", "e.npz", "-o", "out"]
        paths = [str(tmp_path / one) if not one.startswith("-") else one for one in arguments]
        status = main([*paths, "--max-drop", "0.05", "--name", NAME, "--json", *more])
        told = capsys.readouterr()
        return tmp_path / "out" / NAME / json.loads(told.out)["digest"] if status == 0 else told.err

    return call


def answers_of(folder, x):
    return run(serving_session(folder / "model.onnx"), {"x": x}, ["p"])["p"]


def test_how_far_answers_may_be_off_comes_from_samples_that_no_choice_was_made_on(press, rng):
    x = rng.normal(size=(400, 4)).astype(np.float32)
    folder = press({"x": x[:50]}, {"x": x[50:]})
    assert "deviation" not in json.loads((folder / "baseline.json").read_bytes())
    noise = rng.normal(scale=0.2, size=(350, 3)).astype(np.float32)
    labels = answers_of(folder, x[50:]) + noise
    folder = press({"x": x[:50]}, {"x": x[50:], "labels": labels}, "--metric", "rmse")
    known = decode((folder / "baseline.json").read_bytes()).deviation
    assert isinstance(known, Deviation)
    assert (known.output, known.metric, known.samples) == ("p", "rmse", 175)
    near, far = nearness(known, [], [0.02, 0.6])
    assert (near > 0.95, far < 0.05) == (True, True)


def requests_at(rng, times):
    """Another mix by day than by night: in steps, as the parts of a day are."""
    x = rng.normal(size=(len(times), 4)).astype(np.float32)
    x[:, 0] += np.where((times % DAY) // (4 * HOUR) < 3, 3, 0)
    return x


@pytest.mark.parametrize("has_times", [True, False])
def test_calibration_data_with_times_is_compared_with_its_own_part_of_the_day(
    press, rng, tmp_path, monkeypatch, has_times
):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    week = NOON - 7 * DAY + np.sort(rng.random(1200)) * 5 * DAY
    calibration = {"x": requests_at(rng, week)} | ({"times": week} if has_times else {})
    folder = press(calibration, {"x": requests_at(rng, week[::6])})
    baseline = decode((folder / "baseline.json").read_bytes())
    assert baseline.seasons == ("day" if has_times else "none")
    with mock_aws():
        world = World(boto3.client("s3"), tmp_path)
        digest = Registry(REGISTRY, world.client).push(folder).digest
        world.settings = world.settings._replace(digest=digest)
        for hour in range(24):
            at = world.now + hour * HOUR
            x = requests_at(rng, at + np.arange(30) / 100)
            world.put(world.lines(x, answers_of(folder, x), prefix=f"h{hour}", at=at), hour=at)
        world.run(pass_s=24 * HOUR)
        status = world.status()
        assert status.requests == 24 * 30
        assert status.right is has_times
        turned = requests_at(rng, np.full(100, world.now))
        turned[:, 1] *= 5
        world.put(world.lines(turned, answers_of(folder, turned), prefix="turned"))
        world.run()
        assert world.status().right is False


@pytest.mark.parametrize(
    ("times", "sentence"),
    [
        (np.arange(30.0), "'times' has 30 samples but 'x' has 40"),
        (np.full(40, np.nan), "'times' must be one number, the seconds since 1970"),
        (np.array(["noon"] * 40), "'times' must be one number, the seconds since 1970"),
    ],
)
def test_times_that_are_none_are_refused(press, rng, times, sentence):
    x = rng.normal(size=(40, 4)).astype(np.float32)
    assert sentence in press({"x": x, "times": times}, {"x": x})
