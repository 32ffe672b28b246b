"""A quantised graph is trained towards the float one, and left alone where that cannot be."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch

from optimizer.data import Sample
from optimizer.evaluate import Judge
from optimizer.metrics import find_metric
from optimizer.quantize import QuantizeStatic
from optimizer.quantize.ranges import observe
from optimizer.quantize.static import observed_names
from optimizer.runtime import Feeds, optimised_session
from optimizer.train.blocks import blocks_of
from optimizer.train.compare import gain
from optimizer.train.errors import CannotTrain, UnsupportedOp
from optimizer.train.goal import goal_of
from optimizer.train.interpreter import Interpreter
from optimizer.train.training import Settings, train
from optimizer.train.write import written
from tests.optimizer.conftest import Make

TEXT = """agraph (float[n, 3, h, w] x) => (float[n, 10] y) {
    a = Conv <pads = [1, 1, 1, 1]> (x, w1, b1) r = Relu (a)
    c = Conv <pads = [1, 1, 1, 1]> (r, w2, b2) s = HardSwish (c)
    d = Conv <pads = [1, 1, 1, 1]> (s, w3, b3) e = Add (d, s)
    p = ReduceMean <axes = [2, 3], keepdims = 0> (e) l = Shape (x) f = Cast <to = 1> (l)
    t = ReduceMax <keepdims = 0> (f) u = Div (t, t) m = MatMul (p, w4) n = Mul (m, u) y = Softmax (n) }"""


@dataclass(frozen=True)
class Case:
    original: bytes
    quantised: bytes
    samples: list[Sample]


@pytest.fixture
def case(make: Make) -> Case:
    """A small network whose int8 weights are off by some steps, as coarse rounding would have them."""
    rng = np.random.default_rng(5)
    weights = {"w1": (16, 3, 3, 3), "w2": (16, 16, 3, 3), "w3": (16, 16, 3, 3), "w4": (16, 10)}
    model = make(
        TEXT,
        **{name: rng.normal(size=shape).astype(np.float32) / 8 for name, shape in weights.items()},
        **{name: rng.normal(size=16).astype(np.float32) for name in ("b1", "b2", "b3")},
    )
    samples = [{"x": rng.normal(size=(1, 3, 8, 8)).astype(np.float32)} for _ in range(64)]
    names = observed_names(ir.from_proto(model).graph)
    found = observe(model.SerializeToString(), names, samples, 0)
    step = QuantizeStatic({name: several[0] for name, several in found.items()}, saturates=False)
    quantised = ir.to_proto(step(ir.from_proto(model)).model).SerializeToString(deterministic=True)
    interpreter = Interpreter(quantised, saturates=False)
    with torch.no_grad():
        for one in interpreter.known.values():
            if one.kind == "whole":
                one.steps += torch.randint(
                    -9, 10, one.steps.shape, generator=torch.Generator().manual_seed(1)
                )
    return Case(model.SerializeToString(), written(quantised, interpreter), list(map(Sample, samples)))


def settings(**changes: object) -> Settings:
    quick = Settings(saturates=False, until=time.monotonic() + 100, block_updates=48, updates=48)
    return replace(quick, **changes)


def quiet(_line: str) -> None:
    pass


def distance(case: Case, model: bytes, samples: list[Feeds]) -> float:
    """Mean squared, of the answers to the original's, both by ONNX Runtime."""
    sessions = optimised_session(case.original), optimised_session(model)
    pairs = [[session.run(["y"], dict(feeds))[0] for session in sessions] for feeds in samples]
    return float(np.mean([(left - right) ** 2 for left, right in pairs]))


def test_blocks_are_all_of_the_graph_and_end_at_values_of_the_original(case: Case) -> None:
    interpreter = Interpreter(case.quantised, saturates=False)
    names = {name for node in onnx.load_model_from_string(case.original).graph.node for name in node.output}
    blocks = blocks_of(interpreter, names)
    assert len(blocks) >= 3
    assert [block.start for block in blocks] == [0, *(block.stop for block in blocks[:-1])]
    assert blocks[-1].stop == len(interpreter.nodes)
    assert all(set(block.targets) <= names for block in blocks)
    assert blocks[-1].targets == ("y",)
    assert len(blocks_of(interpreter, {"s", "y"})) == 2
    assert len(blocks_of(interpreter, set())) == 1


def test_what_several_blocks_read_is_trained_with_none_of_them(case: Case) -> None:
    interpreter = Interpreter(case.quantised, saturates=False)
    names = {name for node in onnx.load_model_from_string(case.original).graph.node for name in node.output}
    blocks = blocks_of(interpreter, names)
    mine = [{one.name for one in interpreter.parameters_between(b.start, b.stop)} for b in blocks]
    assert all(mine)
    for number, block in enumerate(blocks):
        others = [node for at, node in enumerate(interpreter.nodes) if not block.start <= at < block.stop]
        assert not mine[number] & {str(value.name) for node in others for value in node.inputs if value}


def test_training_brings_unseen_answers_nearer_to_the_original(case: Case) -> None:
    fresh = [{"x": np.random.default_rng(9).normal(size=(20, 3, 8, 8)).astype(np.float32)}]
    lines: list[str] = []
    trained = train(case.original, case.quantised, case.samples, settings(), lines.append)
    assert distance(case, trained.model, fresh) < 0.5 * distance(case, case.quantised, fresh)
    assert any(block.kept for block in trained.blocks)
    assert all(block.after <= block.before for block in trained.blocks)
    assert lines[0].startswith("training, block 1 of ")
    before, after = (onnx.load_model_from_string(data).graph for data in (case.quantised, trained.model))
    assert before.node == after.node
    types = [{t.name: (t.data_type, list(t.dims)) for t in graph.initializer} for graph in (before, after)]
    assert types[0] == types[1]


def test_the_same_seed_gives_the_same_model(case: Case) -> None:
    one, other, third = (
        train(case.original, case.quantised, case.samples, settings(seed=seed), quiet).model
        for seed in (0, 0, 1)
    )
    assert one == other
    assert one != third


def test_after_an_interrupt_training_goes_on_at_the_next_block(case: Case, tmp_path: Path) -> None:
    whole = train(case.original, case.quantised, case.samples, settings(), quiet).model
    checkpoint = tmp_path / "checkpoint"
    lines: list[str] = []

    def stop_after_two(line: str) -> None:
        lines.append(line)
        if len(lines) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(case.original, case.quantised, case.samples, settings(checkpoint=checkpoint), stop_after_two)
    again: list[str] = []
    resumed = train(
        case.original, case.quantised, case.samples, settings(checkpoint=checkpoint), again.append
    )
    assert resumed.model == whole
    assert again[0].split(":")[0] == "training, block 3 of 4"
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]
    # Of another seed, it is another training.
    other: list[str] = []
    train(case.original, case.quantised, case.samples, settings(checkpoint=checkpoint, seed=1), other.append)
    assert other[0].startswith("training, block 1 of")


def test_a_model_that_is_exact_already_stays_byte_by_byte(case: Case) -> None:
    trained = train(case.original, case.original, case.samples, settings(), quiet)
    assert trained.model == case.original


def nan(case: Case, make: Make) -> Case:
    text = "agraph (float[n, 3, h, w] x) => (float[n, 3, h, w] y) { z = Mul (x, c) y = Log (z) }"
    model = make(text, c=np.full((3, 1, 1), -1, np.float32)).SerializeToString()
    return replace(case, original=model, quantised=model)


def too_few(case: Case, _make: Make) -> Case:
    return replace(case, samples=case.samples[:15])


def unknown(case: Case, make: Make) -> Case:
    model = make("agraph (float[n, 3, h, w] x) => (float[a, b] y) { y = Det (x) }").SerializeToString()
    return replace(case, original=model)


def too_large(case: Case, make: Make) -> Case:
    """A value of a petabyte."""
    text = """agraph (float[n, 3, h, w] x) => (float[n, 3, h, w] y) {
        t = Tile (x, c) r = ReduceMax (t) y = Add (x, r) }"""
    model = make(text, c=np.array([1, 1, 10**6, 10**6])).SerializeToString()
    return replace(case, quantised=model)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (nan, "the original gives NaN or infinity at y."),
        (
            too_few,
            "it needs 16 calibration samples, better some hundreds, and there are 15.",
        ),
        (unknown, "it knows no Det."),
        (too_large, "this machine has too little memory for it."),
    ],
)
def test_what_cannot_be_trained_is_left_with_one_sentence(
    case: Case, make: Make, spoil: Callable[[Case, Make], Case], sentence: str
) -> None:
    spoilt = spoil(case, make)
    with pytest.raises(CannotTrain) as caught:
        train(spoilt.original, spoilt.quantised, spoilt.samples, settings(), quiet)
    assert str(caught.value) == sentence
    assert isinstance(caught.value, UnsupportedOp) == ("knows no" in sentence)


def test_a_gain_is_real_only_where_its_interval_excludes_zero(case: Case) -> None:
    rng = np.random.default_rng(7)
    samples = [Sample({"x": rng.normal(size=(1, 3, 8, 8)).astype(np.float32)}) for _ in range(40)]
    original, coarse = optimised_session(case.original), optimised_session(case.quantised)
    judge = Judge(find_metric("cosine"), original, ["y"], 0)
    better = gain(judge, coarse, original, samples, 0)
    assert better.is_real
    assert 0 < better.low <= better.gain <= better.high
    assert not gain(judge, original, coarse, samples, 0).is_real
    assert not gain(judge, coarse, coarse, samples, 0).is_real


def labelled(case: Case, seed: int, count: int) -> list[Sample]:
    """The class after the one that the original says: so that labels and the original never agree."""
    rng, session = np.random.default_rng(seed), optimised_session(case.original)
    feeds = [{"x": rng.normal(size=(1, 3, 8, 8)).astype(np.float32)} for _ in range(count)]
    return [Sample(one, (session.run(["y"], one)[0].argmax(-1) + 1) % 10) for one in feeds]


def likelihood(model: bytes, samples: list[Sample]) -> float:
    session = optimised_session(model)
    rows = [session.run(["y"], dict(sample.feeds))[0][0, int(sample.label[0])] for sample in samples]
    return float(np.log(rows).mean())


def test_labels_count_as_much_as_their_weight_says(case: Case) -> None:
    samples, fresh = labelled(case, 21, 64), labelled(case, 22, 64)
    found = [
        likelihood(
            train(case.original, case.quantised, samples, settings(labels_weight=weight), quiet).model, fresh
        )
        for weight in (0.0, 0.5, 5.0)
    ]
    assert found[0] < found[1] < found[2]


@pytest.mark.parametrize(
    ("label", "sentence"),
    [
        (np.array(10), "a calibration label is outside 0 to 9, the classes of the model's output y."),
        (
            np.array([1, 2, 3]),
            "do not fit the model's output y of shape [8, 10]: give one for each prediction.",
        ),
    ],
)
def test_labels_that_do_not_fit_are_named(case: Case, label: np.ndarray, sentence: str) -> None:
    samples = [replace(sample, label=label) for sample in case.samples]
    with pytest.raises(CannotTrain) as caught:
        train(case.original, case.quantised, samples, settings(labels_weight=1.0), quiet)
    assert str(caught.value).endswith(sentence)


def test_labels_that_are_numbers_are_missed_by_their_squared_error() -> None:
    labels = [np.array([1.0]), np.array([5.0])]
    goal = goal_of(["y"], 2.0, None, labels)
    answers = {"y": torch.tensor([[2.0], [5.0]])}
    # Off by one at one of two, labels have the variance 4; as the teacher has it.
    assert float(goal.loss(answers, answers, labels)) == pytest.approx(2.0 * 0.5 / 4)
    assert float(goal_of(["y"], 0.0, None, []).loss(answers, answers, labels)) == 0


def test_a_trial_that_gains_nothing_ends_the_training(case: Case) -> None:
    lines: list[str] = []
    # Steps of nothing move nothing.
    still = settings(block_rate=1e-9, until=time.monotonic() + 4, block_updates=10**6)
    found = train(case.original, case.quantised, case.samples, still, lines.append)
    assert found.model == case.quantised
    assert found.before == found.after
    assert lines[-1] == "training ends after this trial: no block came nearer to the original's"
    assert (
        len(lines) - 1
        == 3
        < len(blocks_of(Interpreter(case.quantised, saturates=False), ["r", "s", "e", "y"]))
    )


def test_blocks_for_which_there_is_no_time_are_left_out(case: Case) -> None:
    lines: list[str] = []
    found = train(case.original, case.quantised, case.samples, settings(until=0.0), lines.append)
    assert lines[0].startswith("training, blocks: the time ended after 0 of ")
    assert found.blocks == []
    assert found.after <= found.before


def test_it_tells_how_far_it_came(case: Case) -> None:
    lines: list[str] = []

    def metric(answers: list, originals: list, labels: list) -> str:
        assert len(answers) == len(originals) == 16
        assert answers[0]["y"].shape == originals[0]["y"].shape == (1, 10)
        assert labels == []
        pairs = zip(answers, originals, strict=True)
        return f"agreement {np.mean([one['y'].argmax() == two['y'].argmax() for one, two in pairs]):.2f}"

    train(case.original, case.quantised, case.samples, settings(metric=metric), lines.append)
    told = [line for line in lines if line.startswith("training, all at once, ")]
    assert len(told) >= 4
    assert all(
        re.fullmatch(r".*, \d+%: error [\d.e-]+, agreement [01]\.\d\d, on samples held out", line)
        for line in told
    )


@pytest.mark.parametrize(
    "failure",
    [
        "CUDA error: unspecified launch failure\nhelp",
        "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED",
        "CUDA out of memory.",
    ],
)
def test_a_gpu_that_vanishes_is_one_sentence(
    case: Case, monkeypatch: pytest.MonkeyPatch, failure: str
) -> None:
    def vanish(*_: object, **__: object) -> None:
        raise RuntimeError(failure)

    monkeypatch.setattr(torch.Tensor, "backward", vanish)
    with pytest.raises(CannotTrain) as caught:
        train(case.original, case.quantised, case.samples, settings(), quiet)
    expected = "too little memory" if "memory" in failure else f"the GPU failed ({failure.splitlines()[0]})."
    assert expected in str(caught.value)
    assert str(caught.value).count("\n") == 0
