import numpy as np
import pytest

from bundle.manifest import Signature, TensorSpec
from optimizer.data import hash_samples, load_samples
from optimizer.errors import InputError

SIGNATURE = Signature(
    inputs=[TensorSpec(name="x", dtype="float32", shape=["batch", 3])],
    outputs=[TensorSpec(name="y", dtype="float32", shape=["batch", 2])],
)


def save(path, **arrays):
    np.savez(path, **arrays)
    return str(path)


def test_an_npz_holds_samples_along_its_first_axis(tmp_path):
    x = np.arange(12, dtype=np.float32).reshape(4, 3)
    samples = load_samples(save(tmp_path / "d.npz", x=x, labels=np.arange(4), other=1), SIGNATURE)
    assert [sample.feeds["x"].tolist() for sample in samples] == [[row] for row in x.tolist()]
    assert [int(sample.label) for sample in samples] == [0, 1, 2, 3]


def test_a_sample_may_have_the_models_rank(tmp_path):
    samples = load_samples(save(tmp_path / "d.npz", x=np.zeros((4, 2, 3), np.float32)), SIGNATURE)
    assert [sample.feeds["x"].shape for sample in samples] == [(2, 3)] * 4


def test_a_folder_holds_a_sample_in_each_file(tmp_path):
    for index, size in enumerate((1, 2)):
        save(tmp_path / f"{index}.npz", x=np.full((size, 3), index, np.float32))
    samples = load_samples(str(tmp_path), SIGNATURE)
    assert [sample.feeds["x"].shape for sample in samples] == [(1, 3), (2, 3)]


def test_a_function_yields_samples(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_data.py").write_text(
        "import numpy as np\ndef few():\n    yield {'x': np.zeros(3, np.float32), 'labels': 1}\n"
    )
    (sample,) = load_samples("my_data:few", SIGNATURE)
    assert sample.feeds["x"].shape == (1, 3)
    assert sample.label == 1


def test_text_is_accepted_as_numpys_text(tmp_path):
    signature = Signature(inputs=[TensorSpec(name="x", dtype="string", shape=["n"])], outputs=[])
    samples = load_samples(save(tmp_path / "d.npz", x=np.array(["a", "bc"])), signature)
    assert [sample.feeds["x"].tolist() for sample in samples] == [["a"], ["bc"]]
    assert samples[0].feeds["x"].dtype == object
    assert hash_samples(samples) != hash_samples(samples[:1])


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"input": np.zeros((2, 3), np.float32)}, "no array for the model's input 'x': it holds 'input'"),
        ({"x": np.zeros((2, 3))}, r"'x' is float32, but the data is float64: convert .*astype\('float32'\)"),
        ({"x": np.zeros((2, 4), np.float32)}, r"has shape \[batch, 3\], but the data has \[4\]"),
        ({"x": np.float32(1)}, "first axis must be the samples"),
        ({"x": np.zeros((0, 3), np.float32)}, "no samples"),
        ({"x": np.zeros((2, 3), np.float32), "labels": np.zeros(3)}, "'labels' has 3 samples but 'x' has 2"),
    ],
)
def test_what_does_not_fit_the_model_is_named(tmp_path, arrays, sentence):
    with pytest.raises(InputError, match=sentence):
        load_samples(save(tmp_path / "d.npz", **arrays), SIGNATURE)


def test_pickled_objects_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"not an \.npz of plain arrays"):
        load_samples(save(tmp_path / "d.npz", x=np.array([{}, {}], dtype=object)), SIGNATURE)


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("missing.npz", "does not exist"),
        ("missing_module:f", "cannot be imported"),
        ("os:nothing", "has no 'nothing'"),
        ("os:sep", "not a function"),
        ("os:getpid", "raised TypeError"),
        ("os:environb", "not a function"),
        ("sys:getrefcount", "raised TypeError"),
        ("time:tzset", "raised TypeError"),
        ("os:listdir", "must yield dicts of arrays"),
    ],
)
def test_a_source_that_gives_no_samples_is_named(tmp_path, monkeypatch, source, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=sentence):
        load_samples(source, SIGNATURE)


def test_an_empty_folder_is_named(tmp_path):
    with pytest.raises(InputError, match="holds no samples"):
        load_samples(str(tmp_path), SIGNATURE)
