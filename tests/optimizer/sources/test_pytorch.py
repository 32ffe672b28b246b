"""Models of PyTorch: what the ONNX file answers, and what is refused."""

import io
import itertools
import textwrap
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from bundle.arrays import load_npz
from optimizer.sources import base

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
safetensors = pytest.importorskip("safetensors.torch")

NETWORKS = """
    import torch
    from torch import nn

    class Digits(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(
                nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Dropout(0.5), nn.ReLU(), nn.Flatten(),
                nn.Linear(512, 10),
            )

        def forward(self, image):
            return {"logits": self.body(image), "mean": image.mean((1, 2, 3))}

    class Pairs(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(50, 16)

        def forward(self, ids, mask, scale=None):
            spread = mask.unsqueeze(-1).float()
            sums = (self.table(ids) * spread).sum(1) / spread.sum(1)
            return sums if scale is None else sums * scale

    class One(nn.Module):  # one row only
        def forward(self, x):
            return x.reshape(1, 4) * 2

    class Sorts(nn.Module):
        def forward(self, x):
            return torch.special.bessel_j0(x)

    class Wrong(nn.Module):  # what an exporter sees is not what runs
        def forward(self, x):
            return x + 1 if torch.compiler.is_compiling() or torch.jit.is_tracing() else x

    class Lists(nn.Module):
        def forward(self, x):
            return x, "text"

    def digits():
        torch.manual_seed(0)
        return Digits().train()

    def talks():
        print("made")
        return One()

    def fails():
        raise RuntimeError("no weights here")

    def number():
        return 3

    text = "text"
    ready = Pairs()
"""
_count = itertools.count()


@pytest.fixture
def networks(tmp_path):
    """The name of a module of networks; Python keeps modules, so each test has another name."""
    name = f"networks_{next(_count)}"
    (tmp_path / f"{name}.py").write_text(textwrap.dedent(NETWORKS))
    return name


@pytest.fixture
def images(tmp_path, rng):
    path = tmp_path / "images.npz"
    np.savez(path, image=rng.normal(size=(12, 1, 8, 8)).astype(np.float32), labels=np.arange(12) % 10)
    return path


@pytest.fixture
def vectors(tmp_path, rng):
    path = tmp_path / "vectors.npz"
    np.savez(path, x=rng.normal(size=(6, 4)).astype(np.float32))
    return path


@pytest.fixture
def digits(networks, tmp_path, monkeypatch):
    """The same module, as torch has it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return __import__(networks).digits().eval()


def test_a_factory(optimize, networks, images, digits, rng):
    result = optimize(f"{networks}:digits", images)
    signature = result.manifest.signature
    assert [(one.name, one.dtype, one.shape) for one in signature.inputs] == [
        ("image", "float32", ["batch", 1, 8, 8])
    ]
    assert [(one.name, one.shape) for one in signature.outputs] == [
        ("logits", ["batch", 10]),
        ("mean", ["batch"]),
    ]
    origin = result.manifest.source.origin
    assert (origin.framework, origin.file) == ("torch", f"{networks}.py")
    image = rng.normal(size=(5, 1, 8, 8)).astype(np.float32)
    with torch.no_grad():
        expected = digits(torch.from_numpy(image))
    for name, answer in result.answers(image=image).items():
        np.testing.assert_allclose(answer, expected[name].numpy(), atol=1e-4)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_a_factory_and_its_weights(optimize, networks, images, digits, suffix):
    with torch.no_grad():
        for parameter in digits.parameters():
            parameter.mul_(3)
    path = Path(f"weights{suffix}")
    save = safetensors.save_file if suffix == ".safetensors" else torch.save
    save(digits.state_dict(), path)
    result = optimize(f"{networks}:digits", images, "--state-dict", path, "--name", "digits")
    image = load_npz(images)["image"]
    with torch.no_grad():
        expected = digits(torch.from_numpy(image))["logits"].numpy()
    np.testing.assert_allclose(result.answers(image=image)["logits"], expected, atol=1e-4)
    assert result.manifest.name == "digits"
    assert result.manifest.source.origin.file == path.name


def test_axes_that_differ_between_samples_are_free(optimize, networks, tmp_path, rng):
    (tmp_path / "texts").mkdir()
    for index, length in enumerate([7, 3, 9]):
        arrays = {"ids": rng.integers(0, 50, (1, length)), "mask": np.ones((1, length), np.int64)}
        np.savez(tmp_path / "texts" / f"{index}.npz", **arrays)
    result = optimize(f"{networks}:ready", tmp_path / "texts")
    shapes = [(one.name, one.dtype, one.shape) for one in result.manifest.signature.inputs]
    assert shapes == [("ids", "int64", ["batch", "ids_1"]), ("mask", "int64", ["batch", "ids_1"])]
    ids, mask = rng.integers(0, 50, (4, 13)), rng.integers(0, 2, (4, 13))
    mask[:, 0] = 1
    module = __import__(networks).ready
    expected = module(torch.from_numpy(ids), torch.from_numpy(mask)).detach().numpy()
    np.testing.assert_allclose(result.answers(ids=ids, mask=mask)["output"], expected, atol=1e-4)


def test_a_module_of_single_rows_stays_one(optimize, networks, vectors):
    result = optimize(f"{networks}:One", vectors)
    assert result.manifest.signature.inputs[0].shape == [1, 4]


def test_what_a_factory_prints_is_not_an_answer(optimize, networks, vectors):
    optimize(f"{networks}:talks", vectors)  # which reads stdout as JSON


def test_samples_of_a_folder_may_lack_the_batch(optimize, networks, tmp_path, rng):
    (tmp_path / "lines").mkdir()
    for index in range(4):
        np.savez(tmp_path / "lines" / f"{index}.npz", image=rng.normal(size=(1, 8, 8)).astype(np.float32))
    result = optimize(f"{networks}:digits", tmp_path / "lines")
    assert result.manifest.signature.inputs[0].shape == ["batch", 1, 8, 8]


def test_an_exported_program(optimize, networks, images, digits, tmp_path):
    image = torch.from_numpy(load_npz(images)["image"])
    shapes = {"image": {0: torch.export.Dim("rows", min=1, max=64)}}
    torch.export.save(torch.export.export(digits, (image,), dynamic_shapes=shapes), tmp_path / "digits.pt2")
    result = optimize(tmp_path / "digits.pt2", images, "--trust-pickle")
    assert result.manifest.name == "digits"
    assert result.manifest.signature.inputs[0].shape == ["batch", 1, 8, 8]
    with torch.no_grad():
        expected = digits(image)["logits"].numpy()
    np.testing.assert_allclose(result.answers(image=image.numpy())["logits"], expected, atol=1e-4)


@pytest.mark.parametrize("kind", ["pickle", "torchscript"])
def test_a_pickled_module_that_is_trusted(optimize, images, digits, tmp_path, kind):
    path = tmp_path / "whole.pt"
    if kind == "pickle":
        torch.save(digits, path)
    else:
        torch.jit.trace(digits.body, torch.zeros(2, 1, 8, 8)).save(path)
        np.savez(images, input=load_npz(images)["image"])
    image = load_npz(images)["image" if kind == "pickle" else "input"]
    result = optimize(path, images, "--trust-pickle")
    with torch.no_grad():
        expected = digits(torch.from_numpy(image))["logits"].numpy()
    feeds = {result.manifest.signature.inputs[0].name: image}
    answer = result.answers(**feeds)
    np.testing.assert_allclose(answer["logits" if kind == "pickle" else "output"], expected, atol=1e-4)


class Bomb:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return Path.touch, (Path(self.path),)


class TestPickles:
    """What is not trusted is not read: none of these leaves the file that its code would make."""

    @pytest.fixture
    def trace(self, tmp_path):
        return tmp_path / "ran"

    @pytest.mark.parametrize("name", ["model.pt", "model.pth"])
    def test_a_module(self, refused, vectors, tmp_path, trace, name):
        torch.save(Bomb(trace), tmp_path / name)
        assert "runs whatever code is in the file" in refused(tmp_path / name, vectors)
        assert not trace.exists()

    def test_weights(self, refused, networks, images, tmp_path, trace):
        torch.save({"body.0.weight": Bomb(trace)}, tmp_path / "weights.pt")
        said = refused(f"{networks}:digits", images, "--state-dict", tmp_path / "weights.pt")
        assert "weights.pt is a pickle of more than tensors" in said
        assert not trace.exists()

    def test_a_program_whose_example_inputs_are_code(self, refused, images, digits, tmp_path, trace):
        path = tmp_path / "model.pt2"
        torch.export.save(torch.export.export(digits, (torch.zeros(2, 1, 8, 8),)), path)
        self.arm(path, trace)
        assert "torch reads" in refused(path, images)
        assert not trace.exists()
        with suppress(Exception):
            torch.export.load(path)  # which is why it has to be trusted
        assert trace.exists()

    def arm(self, path, trace):
        code = io.BytesIO()
        torch.save(Bomb(trace), code)
        with zipfile.ZipFile(path) as archive:
            entries = {name: archive.read(name) for name in archive.namelist()}
        (inputs,) = (name for name in entries if "sample_inputs" in name)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            for name, content in (entries | {inputs: code.getvalue()}).items():
                archive.writestr(name, content)


def test_a_factory_of_an_estimator(optimize, tmp_path, rng):
    pytest.importorskip("skl2onnx")
    (tmp_path / "estimators.py").write_text("""
from sklearn.linear_model import LinearRegression

def make():
    return LinearRegression().fit([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], [0.0, 2.0, 3.0])
""")
    np.savez(tmp_path / "table.npz", X=rng.normal(size=(20, 2)).astype(np.float32))
    result = optimize("estimators:make", tmp_path / "table.npz")
    answer = result.answers(X=np.float32([[1, 1]]))["prediction"]
    np.testing.assert_allclose(answer.ravel(), [5], atol=1e-4)
    assert result.manifest.source.origin.framework == "scikit-learn"


class TestRefused:
    def test_no_such_file(self, refused, vectors):
        assert "missing.pt2 does not exist" in refused("missing.pt2", vectors, "--trust-pickle")

    def test_a_file_that_is_damaged(self, refused, vectors, tmp_path):
        for name in ("model.pt2", "model.pt"):
            (tmp_path / name).write_bytes(b"PK\x03\x04 no archive")
            assert f"torch cannot read {tmp_path / name}" in refused(
                tmp_path / name, vectors, "--trust-pickle"
            )

    def test_weights_alone(self, refused, vectors, digits, tmp_path):
        torch.save(digits.state_dict(), tmp_path / "weights.pt")
        said = refused(tmp_path / "weights.pt", vectors, "--trust-pickle")
        assert "holds weights without a network: name module:factory" in said

    def test_weights_of_another_network(self, refused, networks, images, digits, tmp_path):
        state = digits.state_dict()
        path = tmp_path / "weights.safetensors"

        def said(tensors):
            safetensors.save_file(tensors, path)
            return refused(f"{networks}:digits", images, "--state-dict", path)

        assert "has no 'body.5.bias'" in said({k: v for k, v in state.items() if k != "body.5.bias"})
        assert "has 'head.weight', but" in said(state | {"head.weight": torch.zeros(1)})
        assert "'body.5.bias' has shape (3,)" in said(state | {"body.5.bias": torch.zeros(3)})
        path.write_bytes(b"damaged")
        assert "torch cannot read" in refused(f"{networks}:digits", images, "--state-dict", path)
        path.unlink()
        assert "does not exist" in refused(f"{networks}:digits", images, "--state-dict", path)

    @pytest.mark.parametrize(
        ("factory", "words"),
        [
            ("fails", "raised RuntimeError: no weights here"),
            ("number", "gives a int: let it return a torch.nn.Module, or an estimator"),
            ("text", "is not a function"),
            ("absent", "has no 'absent'"),
        ],
    )
    def test_a_factory_that_makes_no_module(self, refused, networks, vectors, factory, words):
        assert words in refused(f"{networks}:{factory}", vectors)

    def test_a_factory_of_no_module(self, refused, vectors):
        assert "module 'nowhere' cannot be imported" in refused("nowhere:make", vectors)

    def test_arrays_that_forward_does_not_know(self, refused, networks, vectors):
        said = refused(f"{networks}:digits", vectors)
        assert "takes 'image'" in said
        assert "holds 'x': call its arrays as forward() calls them" in said

    def test_arrays_that_forward_does_not_take(self, refused, networks, tmp_path):
        np.savez(tmp_path / "d.npz", image=np.zeros((4, 3, 8, 8), np.float32))
        said = refused(f"{networks}:digits", tmp_path / "d.npz")
        assert "does not take the first calibration sample (image float32[1, 3, 8, 8])" in said

    def test_data_without_samples(self, refused, networks, tmp_path):
        (tmp_path / "empty").mkdir()
        assert "holds no samples" in refused(f"{networks}:digits", tmp_path / "empty")

    def test_an_operator_that_onnx_lacks(self, refused, networks, vectors):
        said = refused(f"{networks}:Sorts", vectors)
        assert f"the module of {networks}:Sorts cannot be written as ONNX" in said
        assert "bessel_j0" in said

    def test_an_export_that_answers_otherwise(self, refused, networks, vectors):
        said = refused(f"{networks}:Wrong", vectors)
        assert "as ONNX answers otherwise than in torch: its output 'output' differs by" in said

    def test_an_output_that_is_no_tensor(self, refused, networks, vectors):
        assert "the module's output_1 is a str" in refused(f"{networks}:Lists", vectors)

    def test_without_the_extra(self, refused, networks, vectors, monkeypatch):
        monkeypatch.setattr(base, "find_spec", lambda name: None if name == "onnxscript" else name)
        said = refused(f"{networks}:One", vectors)
        assert "needs onnxscript, which is not here: pip install 'coldpress[pytorch]'" in said
