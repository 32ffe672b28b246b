"""TensorFlow's tutorial models, trained shortly, and pressed by the command."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from bundle.folder import read

ROOT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(find_spec("tensorflow_model_optimization") is None, reason="make setup-sources"),
]


def python(*code: str) -> None:
    subprocess.run([sys.executable, "-c", "\n".join(code)], check=True, cwd=ROOT, capture_output=True)


@pytest.fixture(scope="module")
def mnist(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mnist")
    python(
        "from pathlib import Path; from examples.tensorflow import mnist",
        f"mnist.main(Path({str(folder)!r}), epochs=8, tuning_epochs=3)",
    )
    return folder


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("serving")
    python(
        "from pathlib import Path; from examples.tensorflow import serving",
        f"serving.main(Path({str(folder)!r}), epochs=4)",
    )
    return folder


def press(model, data, out, *options, **environment):
    command = [str(Path(sys.executable).with_name("optimize")), str(model), "--json", f"--out={out}"]
    command += [f"--{name}={data / name}.npz" for name in ("calibration", "evaluation")]
    command += [f"--measurements={out / 'measured'}", "--time-budget=40", *options]
    variables = {"PATH": "/usr/bin:/bin", "HOME": str(out), **environment}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=variables)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    return result, read(Path(result["bundle"]))


@pytest.mark.parametrize("form", ["plain.h5", "pruned.h5", "clustered.h5", "aware.h5", "pcqat"])
def test_tfmots_convolution_in_all_its_forms(mnist, tmp_path, form):
    result, manifest = press(mnist / form, mnist, tmp_path, "--max-drop=0.01", "--objective=size")
    assert manifest.source.origin.file == form
    assert [spec.shape for spec in manifest.signature.inputs] == [["batch", 28, 28]]
    assert manifest.metric.name == "accuracy"
    assert manifest.metric.before > 0.8
    assert result["drop"] <= 0.01
    assert result["size_after"] < 35_000  # of 83,000, or of a quantised one
    is_aware = form in ("aware.h5", "pcqat")
    assert ("RemoveRounding" in result["passes"]) >= (is_aware and "QuantizeDynamic" in result["passes"])


def test_int8_tflite_is_served_as_it_is_or_better(mnist, tmp_path):
    _, manifest = press(mnist / "pcqat-int8.tflite", mnist, tmp_path, "--max-drop=0.01")
    assert manifest.source.origin.framework == "tflite"
    assert manifest.metric.drop <= 0.01


def test_servings_half_plus_two(served, tmp_path):
    data = served / "half_plus_two"
    result, manifest = press(data, data, tmp_path, "--metric=mae", "--max-drop=0.001")
    assert (manifest.name, result["drop"]) == ("half-plus-two", 0)


def test_a_classifier_of_serving(served, tmp_path):
    data = served / "digits"
    result, manifest = press(data, data, tmp_path, "--max-drop=0.02")
    assert manifest.signature.inputs[0].shape == ["batch", 28, 28, 1]
    assert result["drop"] <= 0.02


def test_an_embedding_by_its_handle(served, tmp_path):
    handle, cache = "https://tfhub.dev/coldpress/docstrings-dim64/1", served / "hub"
    options = ("--metric=cosine", "--max-drop=0.01", "--objective=size")
    result, manifest = press(handle, cache, tmp_path, *options, TFHUB_CACHE_DIR=str(cache))
    assert (manifest.name, manifest.source.origin.file) == ("docstrings-dim64", handle)
    assert result["size_after"] < result["size_before"] / 2


def test_a_student_of_tfmots_convolution_is_smaller(mnist, tmp_path):
    options = [f"--calibration={mnist / 'moved.npz'}", "--objective=size", "--max-drop=0.1", "--train=30"]
    student = "--student=examples.tensorflow.students:strided"
    result, manifest = press(mnist / "plain.h5", mnist, tmp_path, student, *options)
    assert "Student" in [one.name for one in manifest.passes]
    assert result["size_after"] < 25_000  # of 83,000
