"""`coldpress watch` and `coldpress push --original`, as operators type them."""

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from bundle.manifest import Source
from coldpress.main import main
from tests.coldpress.stages import Account, template_of
from tests.handlers.bundles import write_bundle
from tests.handlers.monitor.world import CAPTURES, NAME, REGISTRY, World, draw, model

Run = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def world(account: Account, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A model that is deployed as the stacks `watched`, and `unwatched`, which keeps no requests."""
    world = World(account.client("s3"), tmp_path_factory.mktemp("world"))
    world.now = time.time() // 3600 * 3600
    template = template_of(world.push(), 1, {})
    create = account.client("cloudformation").create_stack
    for stack in ("unwatched", "watched"):
        text = json.dumps(template).replace("classifier", NAME)
        create(StackName=stack, TemplateBody=text)
        template["Outputs"]["CaptureBucket"] = {"Value": CAPTURES}
    return world


@pytest.fixture
def run(world: World, capsys: pytest.CaptureFixture[str]) -> Run:
    """A command: its exit status, and all that it said."""

    def run(*arguments: object) -> tuple[int, str]:
        status = main([*map(str, arguments)])
        told = capsys.readouterr()
        return status, told.out + told.err

    return run


def test_it_says_yes_and_no_and_is_told_to_begin_anew(run: Run, world: World, tmp_path: Path) -> None:
    status, told = run("watch", "watched")
    assert (status, told.count("\n")) == (2, 1)
    assert "nothing has looked at credit version 1 yet" in told

    world.put(world.lines(draw(world.rng, 300)))
    world.run()
    status, told = run("watch", "watched")
    assert status == 0
    assert "Yes: 300 requests" in told
    assert "agreement  unknown: nothing was replayed yet" in told

    wrong = draw(world.rng, 300)
    wrong[:, 2] = np.nan
    world.put(world.lines(wrong, prefix="wrong"))
    world.run()
    page = tmp_path / "page.html"
    status, told = run("watch", "watched", "--page", page)
    assert status == 1
    assert "No: x[2] is missing since" in told
    assert "see        wrong-" in told
    assert page.read_text().startswith("<!doctype html>")
    status, told = run("watch", "watched", "--json")
    (one,) = json.loads(told)
    assert (status, one["right"], one["alarms"]) == (1, False, ["drift"])
    assert one["changes"][0]["feature"] == "x[2]"

    assert run("watch", "watched", "--begin-anew")[0] == 0
    world.put(world.lines(draw(world.rng, 100), prefix="clean"))
    world.run()
    status, told = run("watch", "watched")
    assert status == 0
    assert "Yes: 100 requests" in told


def test_a_monitor_that_does_not_run_any_more_is_told(
    run: Run, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.run()
    moment = time.time() + 86_400
    monkeypatch.setattr("coldpress.watch.time.time", lambda: moment)
    status, told = run("watch", "watched")
    assert status == 1
    assert "This is old: the monitor does not run any more." in told


def test_a_stage_that_keeps_nothing_says_how_to(run: Run) -> None:
    status, told = run("watch", "unwatched")
    assert (status, told.count("\n")) == (2, 1)
    assert '"capture": {}, "monitor": {}' in told


def test_the_original_is_pushed_if_it_is_the_one(run: Run, world: World, tmp_path: Path) -> None:
    trained = tmp_path / "trained.onnx"
    onnx.save(model(), trained)
    data = trained.read_bytes()
    source = Source(file="trained.onnx", sha256=hashlib.sha256(data).hexdigest(), size=len(data), opset=17)
    bundle = write_bundle(tmp_path, model(), name="pushed", source=source)
    status, told = run("push", bundle, "--bucket", REGISTRY, "--original", trained)
    assert status == 0
    assert "trained.onnx is beside it, for the monitor" in told
    listed = world.client.list_objects_v2(Bucket=REGISTRY, Prefix="models/pushed/originals/")["Contents"]
    assert [entry["Key"].rpartition("/")[2] for entry in listed] == [source.sha256]
    trained.write_bytes(b"another")
    status, told = run("push", bundle, "--bucket", REGISTRY, "--original", trained)
    assert (status, told.count("\n")) == (2, 1)
    assert "is not the model that the bundle was pressed of" in told
