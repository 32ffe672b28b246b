"""A pruned graph is distilled, goes on where it was stopped, and is one more graph of the search."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from optimizer.data import Sample
from optimizer.press import Options, Pressed, press
from optimizer.prune.prune import Pruner
from optimizer.runtime import Feeds, optimised_session
from optimizer.train.errors import CannotTrain
from optimizer.train.finetune import Settings, finetune
from optimizer.train.importance import senses_of
from tests.optimizer.conftest import Make

TEXT = """agraph (float[n, 16, 64] x) => (float[n, 16, 16] y) {
    a = MatMul (x, w1) b = Add (a, b1) c = Relu (b) d = MatMul (c, w2) e = Add (d, b2) f = Relu (e)
    y = MatMul (f, w3) }"""


@pytest.fixture
def model(make: Make) -> onnx.ModelProto:
    """Many neurons; few of them would do."""
    rng = np.random.default_rng(3)
    shapes = {"w1": (64, 1024), "b1": (1024,), "w2": (1024, 256), "b2": (256,), "w3": (256, 16)}
    return make(
        TEXT,
        **{
            name: (rng.normal(size=size) / np.sqrt(size[0])).astype(np.float32)
            for name, size in shapes.items()
        },
    )


def inputs(seed: int, count: int) -> np.ndarray:
    directions = np.random.default_rng(4).normal(size=(8, 64)) / 3
    return (np.random.default_rng(seed).normal(size=(count, 16, 8)) @ directions).astype(np.float32)


def samples(seed: int, count: int) -> list[Feeds]:
    return [{"x": one[None]} for one in inputs(seed, count)]


def unlabelled(seed: int, count: int) -> list[Sample]:
    return [Sample(feeds) for feeds in samples(seed, count)]


def error(model: bytes, original: bytes) -> float:
    sessions = optimised_session(model), optimised_session(original)
    pairs = [[session.run(None, dict(feeds))[0] for session in sessions] for feeds in samples(9, 32)]
    return float(np.mean([np.square(one - other).mean() for one, other in pairs]))


@pytest.fixture
def pruned(model: onnx.ModelProto) -> tuple[bytes, bytes]:
    """The original, and without most of its neurons."""
    data = model.SerializeToString()
    pruner = Pruner(data, samples(0, 64), seed=0)
    pruner.order(senses_of(data, pruner.readers, samples(0, 32), seed=0))
    found = pruner.pruned(0.85)
    assert found is not None
    assert len(found) < 0.3 * len(data)
    return data, found


def settings(**changes: object) -> Settings:
    return Settings(**({"until": time.monotonic() + 100, "updates": 150, "rates": (0.3,)} | changes))


def silent(_line: str) -> None:
    pass


def test_distilling_brings_the_answers_nearer(pruned):
    original, small = pruned
    found = finetune(original, small, unlabelled(1, 128), settings(), silent)
    assert found.after < 0.9 * found.before
    assert error(found.model, original) < 0.9 * error(small, original)
    again = finetune(original, small, unlabelled(1, 128), settings(), silent)
    assert again.model == found.model


def test_a_run_that_was_stopped_goes_on(pruned, tmp_path):
    original, small = pruned
    path = tmp_path / "checkpoint"

    class Stop(Exception):
        pass

    def stop(line: str) -> None:
        if line.startswith("distilling, 50"):
            raise Stop

    with pytest.raises(Stop):
        finetune(original, small, unlabelled(1, 128), settings(checkpoint=path), stop)
    lines: list[str] = []
    found = finetune(original, small, unlabelled(1, 128), settings(checkpoint=path), lines.append)
    assert not [line for line in lines if line.startswith("distilling, 1")][:-1]
    assert found.updates == 150
    assert found.after < 0.9 * found.before


def test_a_rate_that_gains_nothing_makes_room_for_a_smaller_one(pruned):
    lines: list[str] = []
    two = settings(rates=(0.3, 1e3), updates=600)
    found = finetune(*pruned, unlabelled(1, 128), two, lines.append)
    assert "distilling: a rate of 1000 gained nothing" in lines
    assert found.after < 0.9 * found.before
    found = finetune(*pruned, unlabelled(1, 128), settings(rates=(1e3,)), silent)
    assert found.model == pruned[1]  # what only gets worse stays as it was


def test_few_updates_take_the_smaller_rate(pruned):
    lines: list[str] = []
    finetune(*pruned, unlabelled(1, 128), settings(rates=(0.3, 1e3), updates=20), lines.append)
    assert not [line for line in lines if "1000" in line]


def test_a_teacher_without_finite_answers_teaches_nothing(make):
    text = "g (float[n, 8] x) => (float[n, 4] y) { a = MatMul (x, w) b = Log (a) y = MatMul (b, v) }"
    rng = np.random.default_rng(0)
    weights = {"w": rng.normal(size=(8, 16)), "v": rng.normal(size=(16, 4))}
    data = make(
        text, **{name: array.astype(np.float32) for name, array in weights.items()}
    ).SerializeToString()
    feeds = [Sample({"x": rng.normal(size=(1, 8)).astype(np.float32)}) for _ in range(32)]
    with pytest.raises(CannotTrain, match="the original gives NaN or infinity"):
        finetune(data, data, feeds, settings(), silent)


def test_labels_pull_the_answers_where_they_have_a_weight(pruned):
    """Labels that say something else than the teacher: the numbers that it gives, the other way round."""
    original, small = pruned
    session = optimised_session(original)
    labelled = [
        Sample(feeds, -session.run(None, dict(feeds))[0].astype(np.float32)) for feeds in samples(1, 128)
    ]
    from_teacher = finetune(original, small, labelled, settings(), silent).model
    from_labels = finetune(original, small, labelled, settings(labels_weight=4.0), silent).model
    feeds = samples(9, 1)[0]
    wanted = session.run(None, dict(feeds))[0].ravel()
    answers = [
        optimised_session(one).run(None, dict(feeds))[0].ravel() for one in (from_teacher, from_labels)
    ]
    assert np.dot(answers[0], wanted) > 0 > np.dot(answers[1], wanted)


@pytest.mark.parametrize("failure", ["CUDA error: device lost", "CUDA out of memory."])
def test_a_gpu_that_vanishes_is_told_in_a_sentence(pruned, monkeypatch, failure):
    def vanish(*_: object) -> None:
        raise RuntimeError(failure)

    monkeypatch.setattr(torch.Tensor, "backward", vanish)
    expected = "too little memory" if "memory" in failure else "the GPU failed"
    with pytest.raises(CannotTrain, match=expected):
        finetune(*pruned, unlabelled(1, 128), settings(), silent)


Optimize = Callable[..., tuple[Pressed, list[str]]]


@pytest.fixture
def optimize(tmp_path: Path) -> Optimize:
    """Press a model; the bundle, and what was told."""

    def run(model: onnx.ModelProto, **more: Any) -> tuple[Pressed, list[str]]:
        onnx.save(model, tmp_path / "model.onnx")
        for seed, name, count in ((0, "calibration", 128), (1, "evaluation", 200)):
            np.savez(tmp_path / f"{name}.npz", x=inputs(seed, count))
        lines: list[str] = []
        options = Options(
            model=tmp_path / "model.onnx",
            calibration=str(tmp_path / "calibration.npz"),
            evaluation=str(tmp_path / "evaluation.npz"),
            out=tmp_path / "bundles",
            measurements=tmp_path / "measurements",
            name="model",
            time_budget=200,
            **({"metric": "cosine"} | more),
        )
        return press(options, lines.append), lines

    return run


@pytest.mark.slow
def test_the_search_takes_a_pruned_graph_within_the_bound(optimize, model):
    pressed, lines = optimize(model, max_drop=0.02, train=15)
    print("\n".join(lines))
    assert "Prune" in [one.name for one in pressed.manifest.passes]
    assert pressed.manifest.metric.drop <= 0.02
    assert [line for line in lines if line.startswith("training: pruned by ")]  # in int8
    again, lines = optimize(model, max_drop=0.02, train=15)
    print("\n".join(lines))
    assert again.folder == pressed.folder
    assert not [line for line in lines if line.startswith("distilling")]


@pytest.mark.slow
def test_whole_layers_go_where_that_is_faster_and_neurons_of_those_that_stay(optimize, make):
    """Of four blocks two give little; of their neurons none more than the others."""
    block = """h{0} = MatMul (x{0}, u{0}) g{0} = Tanh (h{0}) f{0} = MatMul (g{0}, v{0})
        s{0} = Add (f{0}, x{0}) x{1} = LayerNormalization (s{0}, scale, offset)"""
    text = """agraph (float[n, 16, 64] x) => (float[n, 16, 16] y) {{
        x00 = MatMul (x, w0) x0 = LayerNormalization (x00, scale, offset) {} y = MatMul (x4, w) }}"""
    rng = np.random.default_rng(3)
    weights = {"scale": np.ones(256), "offset": np.zeros(256), "w": rng.normal(size=(256, 16)) / 16}
    weights["w0"] = rng.normal(size=(64, 256)) / 8
    for number in range(4):
        weights[f"u{number}"] = rng.normal(size=(256, 256)) / 8
        weights[f"v{number}"] = rng.normal(size=(256, 256)) / (16 if number % 2 else 160)
    deep = make(
        text.format(" ".join(block.format(number, number + 1) for number in range(4))),
        **{name: array.astype(np.float32) for name, array in weights.items()},
    )
    pressed, lines = optimize(deep, max_drop=0.02, train=10)
    print("\n".join(lines))
    (pruned,) = [one for one in pressed.manifest.passes if one.name == "Prune"]
    assert pruned.parameters["blocks"] == 2
    assert [line for line in lines if line.startswith("pruning, 2 blocks and ")]
    assert pressed.manifest.metric.drop <= 0.02


def test_a_graph_of_which_nothing_can_go_says_so(optimize, make):
    text = """g (float[n, 16, 64] x) => (float[n, 16, 64] y) {
        a = MatMul (x, w) y = LayerNormalization (a, s, o) }"""
    rng = np.random.default_rng(3)
    weights = {"w": rng.normal(size=(64, 64)) / 8, "s": np.ones(64), "o": np.zeros(64)}
    plain = make(text, **{name: array.astype(np.float32) for name, array in weights.items()})
    _, lines = optimize(plain, max_drop=0.01, train=1)
    (line,) = [line for line in lines if line.startswith("pruning")]
    assert line == "pruning is left out: no channels, neurons or heads of this graph can go without others"


def test_a_graph_that_gives_nan_is_not_too_far_from_the_bound(optimize, make):
    text = """g (float[n, 16, 64] x) => (float[n, 16, 16] y) {
        a = MatMul (x, w) b = Log (a) y = MatMul (b, v) }"""
    rng = np.random.default_rng(3)
    weights = {"w": rng.normal(size=(64, 64)), "v": rng.normal(size=(64, 16))}
    broken = make(text, **{name: array.astype(np.float32) for name, array in weights.items()})
    _, lines = optimize(broken, max_drop=0.01, train=1, metric="agreement")
    (line,) = [line for line in lines if line.startswith("pruning")]
    assert line == "pruning is left out: the groups are too small, or layers read NaN or infinity"


@pytest.mark.slow
def test_what_distilling_does_not_bring_within_the_bound_gives_way_to_what_needs_less(optimize, model):
    """In less than a second the first graph, which needs training, gains nothing."""
    pressed, lines = optimize(model, max_drop=0.04, train=1)
    print("\n".join(lines))
    floats = [line for line in lines if line.startswith("pruned by ") and ": float: " in line]
    assert [line.rpartition(", ")[2] for line in floats] == ["outside the bound", "within the bound"]
    first, second = (float(line.removeprefix("pruned by ").partition("%")[0]) for line in floats)
    assert first > second
    assert "Prune" in [one.name for one in pressed.manifest.passes]
    assert pressed.manifest.metric.drop <= 0.04
