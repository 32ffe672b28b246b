"""Many rows in pieces: the same answers, and only of models whose rows are samples."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from handlers.inference.dataplane import Model
from handlers.inference.rows import join, piece_sizes, split
from handlers.inference.tensor import Tensor
from tests.handlers.bundles import write_bundle
from tests.handlers.models import build_model
from tests.handlers.test_golden import npz
from tests.handlers.test_loading import from_image, reseal

# Two rows of so many elements are a piece.
WIDTH = 600


def one_input(
    nodes: list[onnx.NodeProto], shape: list[int | str], **constants: np.ndarray
) -> onnx.ModelProto:
    return build_model(nodes, {"x": ("float32", ["n", WIDTH])}, {"y": ("float32", shape)}, constants)


def sums() -> onnx.ModelProto:
    """A row's sum."""
    node = helper.make_node("ReduceSum", ["x", "axes"], ["y"], keepdims=1)
    return one_input([node], ["n", 1], axes=np.int64([1]))


def shares() -> onnx.ModelProto:
    """What a row has of all rows' sums: it looks at the others."""
    return one_input([helper.make_node("Softmax", ["x"], ["y"], axis=0)], ["n", WIDTH])


def running() -> onnx.ModelProto:
    """The sum of this row and those before: the first axis is time."""
    node = helper.make_node("CumSum", ["x", "axis"], ["y"])
    return one_input([node], ["n", WIDTH], axis=np.int64(0))


def centred() -> onnx.ModelProto:
    """A row without the rows' mean: equal rows are answered alike, and as each is alone."""
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[0], keepdims=1),
        helper.make_node("Sub", ["x", "mean"], ["y"]),
    ]
    return one_input(nodes, ["n", WIDTH])


def products() -> onnx.ModelProto:
    """Each row with each."""
    nodes = [helper.make_node("Transpose", ["x"], ["t"]), helper.make_node("MatMul", ["x", "t"], ["y"])]
    return one_input(nodes, ["n", "m"])


def scaled() -> onnx.ModelProto:
    """int8, whose scale is taken from all rows of a run."""
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"]),
    ]
    return one_input(nodes, ["n", WIDTH])


SAMPLE = np.random.default_rng(0).normal(size=(1, WIDTH)).astype("f")


def loaded(
    folder: Path, model: onnx.ModelProto, sample: np.ndarray | None = SAMPLE
) -> tuple[Model, list[int]]:
    """The model, whose bundle has the golden sample; and the rows of its runs from now on."""
    source = write_bundle(folder, model, name="toy")
    target = folder / "served"
    shutil.copytree(source, target)
    if sample is not None:
        reseal(source, target, "golden.npz", npz(**{"0/inputs/x": sample}))
    served, runs = from_image(target), []
    run = served._session.run

    def counted(names, inputs):
        runs.append(inputs["x"].shape[0])
        return run(names, inputs)

    served._session.run = counted
    return served, runs


def answer(model: Model, x: np.ndarray) -> np.ndarray:
    y = model.infer({"x": Tensor.of(x)})["y"]
    return np.frombuffer(y.data, y.dtype).reshape(y.shape)


ROWS = np.random.default_rng(1).normal(size=(7, WIDTH)).astype("f")


@pytest.mark.parametrize("make", [sums, scaled])
def test_many_rows_run_in_pieces(tmp_path, make):
    model, runs = loaded(tmp_path, make())
    assert answer(model, ROWS[:2]).shape[0] == 2
    assert runs == [2]
    y = answer(model, ROWS)
    assert runs[1:] == [1, 2, 2, 2, 2, 2, 1]  # the golden sample alone, twice and beside another; the rows
    del runs[:]
    assert (answer(model, ROWS) == y).all()
    assert runs == [2, 2, 2, 1]
    expected = [answer(model, ROWS[start : start + 2]) for start in range(0, 7, 2)]
    assert (np.concatenate(expected) == y).all()


@pytest.mark.parametrize("make", [shares, running, centred, products])
def test_rows_that_are_not_samples_run_as_one(tmp_path, make):
    model, runs = loaded(tmp_path, make())
    x = np.abs(ROWS)
    y = answer(model, x)
    assert runs[-1] == 7
    if make is running:
        np.testing.assert_allclose(y, np.cumsum(x, 0), rtol=1e-5)
    answer(model, x)
    assert runs[-2:] == [7, 7]


@pytest.mark.parametrize("sample", [None, np.repeat(SAMPLE, 2, 0)], ids=["no sample", "a sample of two rows"])
def test_without_a_sample_of_one_row_they_run_as_one(tmp_path, sample):
    model, runs = loaded(tmp_path, sums(), sample)
    answer(model, ROWS)
    assert runs == [7]


def test_short_rows_run_as_one(tmp_path):
    x = np.zeros((1000, 1), "f")
    assert piece_sizes({"x": Tensor.of(x)}) == [1000]
    assert piece_sizes({"x": Tensor.of(x), "z": Tensor.of(x)}) == [512, 488]


@settings(max_examples=50)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=5), st.booleans())
def test_split_undoes_join(sizes, is_text):
    values = np.arange(sum(sizes) * 3).reshape(-1, 3)
    whole = {"x": Tensor.of(values.astype("U" if is_text else "f"))}
    parts = split(whole, sizes)
    assert [part["x"].shape for part in parts] == [(size, 3) for size in sizes]
    joined = join(parts)
    assert joined is not None
    assert (joined["x"].shape, joined["x"].data) == (whole["x"].shape, whole["x"].data)
