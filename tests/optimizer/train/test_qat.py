"""Quantisation-aware training and pruning of a user's own torch model, in the user's own loop."""

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from coldpress.optimize import main
from optimizer.quantize.weights import channels_last_order, quantize_channels
from optimizer.train.qat import MagnitudePruning, PolynomialDecay, convert, prepare_qat

GLYPHS = """
 ### ..#.. ### ### #.# ### ### ### ### ###
 #.# .##.. ..# ..# #.# #.. #.. ..# #.# #.#
 #.# ..#.. ### ### ### ### ### ..# ### ###
 #.# ..#.. #.. ..# ..# ..# #.# ..# #.# ..#
 ### .###. ### ### ..# ### ### ..# ### ###
"""


def digits(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Pictures [count, 1, 12, 12] of digits at any place, thickness and noise; and which they are."""
    rng = np.random.default_rng(seed)
    rows = [line.split() for line in GLYPHS.strip().splitlines()]
    pictures = np.zeros((count, 1, 12, 12), np.float32)
    labels = rng.integers(0, 10, count)
    for picture, label in zip(pictures, labels, strict=True):
        glyph = np.kron([[mark == "#" for mark in row[label]] for row in rows], np.ones((2, 2)))
        top, left = rng.integers(0, 13 - glyph.shape[0]), rng.integers(0, 13 - glyph.shape[1])
        picture[0, top : top + glyph.shape[0], left : left + glyph.shape[1]] = glyph * rng.uniform(0.5, 1)
    return torch.from_numpy(
        pictures + rng.normal(0, 0.15, pictures.shape).astype(np.float32)
    ), torch.from_numpy(labels)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    convolutions = nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2), nn.ReLU()
    return nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, 10))


def fit(
    model: nn.Module, steps: int, rate: float = 2e-3, after: Callable[[], None] = lambda: None
) -> nn.Module:
    """The user's own loop."""
    pictures, labels = digits(2000, seed=1)
    optimiser = torch.optim.Adam(model.parameters(), lr=rate)
    dice = torch.Generator().manual_seed(0)
    for _ in range(steps):
        batch = torch.randint(len(labels), (64,), generator=dice)
        loss = nn.functional.cross_entropy(model(pictures[batch]), labels[batch])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        after()
    return model


@torch.no_grad()
def accuracy(model: nn.Module) -> float:
    pictures, labels = digits(1000, seed=2)
    return float((model(pictures).argmax(1) == labels).float().mean())


def weights(model: nn.Module) -> list[Tensor]:
    return [layer.weight.detach() for layer in model if isinstance(layer, nn.Linear | nn.Conv2d)]


@pytest.fixture(scope="module")
def trained() -> nn.Module:
    return fit(network(), 400)


def copied(model: nn.Module) -> nn.Sequential:
    copy = network()
    copy.load_state_dict(model.state_dict())
    return copy


def test_pruned_and_quantised_in_the_users_own_loop_it_is_as_good(trained: nn.Module) -> None:
    before = accuracy(trained)
    assert before > 0.95
    model = prepare_qat(copied(trained))
    pruning = MagnitudePruning(model, PolynomialDecay(final=0.8, begin=20, end=200))
    fit(model, 300, 5e-4, pruning.step)
    fake = accuracy(model)
    convert(model)
    assert set(model.state_dict()) == set(trained.state_dict())
    assert abs(accuracy(model) - fake) <= 0.01
    assert accuracy(model) >= before - 0.01
    for weight in weights(model)[1:]:
        assert float((weight == 0).float().mean()) >= 0.75
    # Pruned at once and not trained, it is not.
    careless = copied(trained)
    careless_pruning = MagnitudePruning(careless, PolynomialDecay(final=0.8, begin=0, end=1))
    careless_pruning.step()
    assert accuracy(careless) < accuracy(model) - 0.02


def test_what_was_trained_is_what_int8_holds() -> None:
    model = convert(fit(prepare_qat(network()), 20))
    for weight in weights(model):
        rows = weight.flatten(1).double().numpy()
        orders = [channels_last_order(weight.shape[1:])] if weight.ndim == 4 else []
        stored, scale = quantize_channels(rows, orders, saturates=True)
        np.testing.assert_allclose(stored * scale[:, None], rows, rtol=1e-6, atol=1e-9)
        pairs = np.abs(stored[:, 1:].astype(int)) + np.abs(stored[:, :-1].astype(int))
        assert pairs.max() <= 128


def test_it_computes_as_int8_does_while_it_is_trained(trained: nn.Module) -> None:
    pictures, _ = digits(8, seed=3)
    prepared, plain = prepare_qat(copied(trained), target="x86_64-vnni"), copied(trained)
    with torch.no_grad():
        exact, rounded, converted = plain(pictures), prepared(pictures), convert(prepared)(pictures)
    scale = float(exact.abs().max())
    assert 1e-4 * scale < float((exact - rounded).abs().max()) < 0.1 * scale
    assert float((exact - converted).abs().max()) > 1e-5 * scale


def test_zeros_come_along_the_schedule() -> None:
    schedule = PolynomialDecay(final=0.5, begin=10, end=110, initial=0.1, frequency=20)
    assert [schedule.share(step) for step in (0, 9, 110, 1000)] == [0, 0, 0.5, 0.5]
    assert schedule.share(10) == pytest.approx(0.1)
    assert schedule.share(60) == pytest.approx(0.5 - 0.4 / 8)
    model = network()
    pruning = MagnitudePruning(model, schedule)
    shares = []
    for _ in range(120):
        pruning.step()
        shares.append(float((model[5].weight == 0).float().mean()))
    assert shares[8] == 0
    assert shares[9:29] == [pytest.approx(0.1, abs=1e-3)] * 20
    assert shares[-1] == pytest.approx(0.5, abs=1e-3)
    assert shares == sorted(shares)
    assert not (model[0].weight == 0).any()  # of 144 weights


def test_optimize_takes_it_as_it_is(tmp_path: Path) -> None:
    torch.manual_seed(0)
    layers = (
        nn.Flatten(),
        nn.Linear(144, 1024),
        nn.ReLU(),
        nn.Linear(1024, 1024),
        nn.ReLU(),
        nn.Linear(1024, 10),
    )
    model = prepare_qat(nn.Sequential(*layers))
    pruning = MagnitudePruning(model, PolynomialDecay(final=0.8, begin=20, end=60))
    convert(fit(model, 80, 1e-3, pruning.step))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model, (torch.zeros(1, 1, 12, 12),), tmp_path / "digits.onnx", input_names=["x"], dynamo=False
        )
    pictures, labels = digits(500, seed=4)
    np.savez(tmp_path / "calibration.npz", x=pictures[:100, None].numpy())
    np.savez(tmp_path / "evaluation.npz", x=pictures[100:, None].numpy(), labels=labels[100:].numpy())
    command = [
        *(str(tmp_path / "digits.onnx"), "--calibration", str(tmp_path / "calibration.npz")),
        *("--evaluation", str(tmp_path / "evaluation.npz"), "--max-drop", "0.03"),
        *("-o", str(tmp_path / "out"), "--measurements", str(tmp_path / "m"), "--time-budget", "8"),
    ]
    assert main(command) == 0
    (bundle,) = (tmp_path / "out" / "digits").iterdir()
    held = {
        one.name: onnx.numpy_helper.to_array(one)
        for one in onnx.load(bundle / "model.onnx").graph.initializer
    }
    stored = {name: array for name, array in held.items() if array.dtype == np.int8 and array.ndim == 2}
    largest = max(stored, key=lambda name: stored[name].size)
    assert stored[largest].shape == (1024, 1024)
    floats = stored[largest] * held[largest.replace("_s8", "_scale")]
    np.testing.assert_allclose(floats.T, model[3].weight.detach().numpy(), rtol=1e-6)
    assert (stored[largest] == 0).mean() >= 0.8


@pytest.mark.parametrize(
    ("misuse", "sentence"),
    [
        (lambda: prepare_qat(nn.Sequential(nn.ReLU())), "has no Linear or Conv layer"),
        (lambda: prepare_qat(prepare_qat(network())), "is prepared already"),
        (
            lambda: MagnitudePruning(nn.Sequential(nn.Linear(2, 2)), PolynomialDecay(0.5, 0, 9)),
            "lower smallest",
        ),
        (lambda: PolynomialDecay(final=1.0, begin=0, end=9), "less than 1"),
        (lambda: PolynomialDecay(final=0.5, begin=9, end=9), "after it begins"),
    ],
)
def test_misuse_is_one_sentence(misuse: Callable[[], object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        misuse()
