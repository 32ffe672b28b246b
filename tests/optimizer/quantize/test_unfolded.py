"""Convolutions as products of their unfolded input."""

import numpy as np
import pytest

from optimizer.quantize.unfolded import QuantizeUnfolded
from tests.optimizer import cpus


def error(model, changed, answers, **feeds):
    before, after = answers(model, feeds)[0], answers(changed, feeds)[0]
    return np.linalg.norm(after - before) / np.linalg.norm(before)


@pytest.mark.parametrize("saturates", [True, False])
@pytest.mark.parametrize(
    ("attributes", "kernel"),
    [
        ("", (3, 3)),
        ("pads = [1, 2, 0, 1]", (3, 3)),
        ("strides = [2, 3], pads = [1, 1, 1, 1]", (3, 3)),
        ("dilations = [2, 1]", (3, 2)),
        ("strides = [2, 2]", (1, 1)),
        ("pads = [2, 2]", (5,)),
        ("strides = [4], pads = [1, 2]", (8,)),
    ],
)
def test_kernels_of_all_kinds(make, apply, answers, rng, attributes, kernel, saturates):  # noqa: PLR0917 - fixtures
    shape = ", ".join(["2", "64", *["11"] * len(kernel)])
    given = f"<{attributes}>" if attributes else ""
    model = make(
        f"g (float[{shape}] x) => (float{'[?]'.replace('?', ', '.join('?' * (len(kernel) + 2)))} y) {{ "
        f"c = Conv {given} (x, w, b) y = Relu (c) }}",
        w=rng.normal(size=(64, 64, *kernel)).astype(np.float32),
        b=rng.normal(size=64).astype(np.float32),
    )
    applied = apply(QuantizeUnfolded(saturates=saturates), model)
    assert "Conv" not in applied.operators
    # Not around zero: what is padded must be zero all the same.
    x = (3 + rng.normal(size=(2, 64, *[11] * len(kernel)))).astype(np.float32)
    assert error(model, applied.model, answers, x=x) < 0.015


def test_activations_of_two_roundings(make, apply, answers, rng):
    """What is lost is what the weights lose."""
    text = "g (float[1, 32, n] x) => (float[?, ?, ?] y) { y = Conv <pads = [1, 1]> (x, w, b) }"
    levels = rng.integers(-127, 128, size=(64, 32, 3))
    levels[:, 0, 0] = 127
    model = make(text, w=levels.astype(np.float32) / 100, b=rng.normal(size=64).astype(np.float32))
    x = rng.normal(size=(1, 32, 50)).astype(np.float32) ** 3
    once, twice = (
        apply(QuantizeUnfolded(saturates=False, twice=twice), model).model for twice in (False, True)
    )
    assert error(model, once, answers, x=x) > 0.01
    assert error(model, twice, answers, x=x) < 0.0001


def test_an_input_is_quantised_once_for_all_its_readers(make, apply, rng):
    text = """g (float[1, 32, n] x) => (float[?, ?, ?] y) {
        p = Conv <pads = [1, 1]> (x, w) q = Conv <pads = [2, 2]> (x, v) y = Add (p, q) }"""
    weights = {
        name: rng.normal(size=(64, 32, length)).astype(np.float32) for name, length in (("w", 3), ("v", 5))
    }
    operators = apply(QuantizeUnfolded(saturates=True), make(text, **weights)).operators
    assert operators.count("DynamicQuantizeLinear") == 1
    assert operators.count("MatMulIntegerToFloat") == 2


@pytest.mark.parametrize(
    "text",
    [
        "y = Conv <group = 2> (x, w)",
        "y = Conv <auto_pad = \"SAME_UPPER\"> (x, v)",
        "y = Conv (x, one)",
    ],
)  # fmt: skip
def test_what_is_not_unfolded(make, apply, rng, text):
    model = make(
        f"g (float[1, 128, 9, 9] x) => (float[?, ?, ?, ?] y) {{ {text} }}",
        w=rng.normal(size=(64, 64, 3, 3)).astype(np.float32),
        v=rng.normal(size=(64, 128, 3, 3)).astype(np.float32),
        one=rng.normal(size=(64, 128, 1, 1)).astype(np.float32),
    )
    used = {name for name in ("w", "v", "one") if f", {name})" in text}
    for tensor in list(model.graph.initializer):
        if tensor.name not in used:
            model.graph.initializer.remove(tensor)
    assert not apply(QuantizeUnfolded(saturates=True), model).modified


@pytest.mark.slow
@pytest.mark.parametrize("twice", [True, False])
def test_the_answers_are_the_same_without_vnni(make, apply, rng, tmp_path, twice):
    """All weights at the largest there is, and inputs at the upper end of their range."""
    w = np.where(rng.random((64, 32, 3, 3)) < 0.9, 1.0, -1.0).astype(np.float32)
    model = make("g (float[1, 32, 12, 12] x) => (float[?, ?, ?, ?] y) { y = Conv (x, w) }", w=w)
    path = tmp_path / "model.onnx"
    path.write_bytes(apply(QuantizeUnfolded(saturates=True, twice=twice), model).model.SerializeToString())
    samples = [{"x": rng.uniform(0.8, 1, (1, 32, 12, 12)).astype(np.float32)} for _ in range(2)]
    here, there = (cpu.run(path, samples, tmp_path) for cpu in (cpus.native(), cpus.haswell()))
    for one, other in zip(here, there, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-5)
