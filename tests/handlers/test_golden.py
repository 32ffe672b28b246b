"""The bundle's golden sample in the model's description: fetched when asked for, verified, never needed."""

import io
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from bundle.manifest import decode
from handlers.inference.description.golden import golden_sample
from handlers.inference.loading import load
from handlers.inference.messages import Request
from handlers.inference.service import Service
from handlers.inference.settings import from_environment
from handlers.inference.tensor import Tensor
from tests.handlers.s3_server import give_flipped, refuse, serving
from tests.handlers.test_loading import environment, flip, from_image, reseal

# The float32 next to 0.1 has 17 digits as a float64, and a client sends three.
SAMPLE = np.float32([[0.1, -2, 3e-7], [1, 2, 16777216]])
BODY = {"instances": [[0.1, -2.0, 3e-07], [1.0, 2.0, 16777216.0]]}
ONES = {"instances": [[1.0, 1.0, 1.0]]}


def npz(**samples: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **samples)
    return buffer.getvalue()


def example(model) -> dict:
    response = Service(model).answer(Request("GET", "/openapi.json"))
    assert response.status == 200, response.body
    operation = json.loads(response.body)["paths"]["/v1/models/toy:predict"]["post"]
    return operation["requestBody"]["content"]["application/json"]["example"]


@pytest.fixture
def golden(affine_bundle: Path, tmp_path: Path) -> Path:
    """A bundle whose first sample has values of its own."""
    shutil.copytree(affine_bundle, tmp_path, dirs_exist_ok=True)
    content = npz(**{"0/inputs/x": SAMPLE, "0/outputs/y": SAMPLE, "1/inputs/x": np.zeros((1, 3), "f")})
    reseal(affine_bundle, tmp_path, "golden.npz", content)
    return tmp_path


def test_a_folders_first_sample_is_the_example(golden):
    model = from_image(golden)
    assert example(model) == BODY
    page = Service(model).answer(Request("GET", "/docs")).body.decode()
    assert "[0.1,-2.0,3e-07]" in page
    assert "golden sample" in page


def test_an_image_may_lack_it(golden, capsys):
    (golden / "golden.npz").unlink()
    assert example(from_image(golden)) == ONES
    assert capsys.readouterr().err == ""


def test_another_file_in_its_place_is_not_read(golden, capsys):
    model = from_image(golden)
    flip(golden / "golden.npz")
    assert example(model) == ONES
    assert "golden.npz is not the file that was written" in capsys.readouterr().err


def test_from_s3_it_is_fetched_only_when_asked_for(golden, capsys):
    digest = decode((golden / "manifest.json").read_bytes()).digest
    with serving(golden) as server:
        environ = {**environment(golden, server.url), "COLDPRESS_DIGEST": digest}
        model = load(from_environment(environ), environ)
        body = json.dumps(BODY).encode()
        assert Service(model).answer(Request("POST", "/v1/models/toy:predict", body=body)).status == 200
        assert server.count("golden.npz") == 0
        assert example(model) == BODY
        assert server.count("golden.npz") == 1
        for step, sentence in (
            (give_flipped, "golden.npz is not the file that was pushed"),
            (refuse(403, "AccessDenied"), "(403 AccessDenied)"),
        ):
            server.script["golden.npz"] = [step]
            assert example(model) == ONES
            assert sentence in capsys.readouterr().err


def sample_in(content: bytes, limit: int = 1000) -> dict[str, Tensor] | None:
    model = SimpleNamespace(file=lambda _: content, inputs={"x": None}, check=lambda _: None)
    return golden_sample(model, limit)  # type: ignore[arg-type]  # what it uses of a model


NUMBERS = st.one_of(
    arrays.boolean_dtypes(),
    arrays.integer_dtypes(endianness="="),
    arrays.unsigned_integer_dtypes(endianness="="),
    arrays.floating_dtypes(sizes=(16, 32, 64), endianness="="),
)
SHAPES = arrays.array_shapes(min_dims=0, min_side=0, max_dims=3, max_side=4)


@given(arrays.arrays(NUMBERS, SHAPES), st.booleans())
def test_arrays_are_read_as_numpy_wrote_them(array, is_compressed):
    buffer = io.BytesIO()
    (np.savez_compressed if is_compressed else np.savez)(buffer, **{"0/inputs/x": array})
    sample = sample_in(buffer.getvalue())
    assert sample is not None
    expected = Tensor.of(array)
    assert (sample["x"].dtype, sample["x"].shape) == (expected.dtype, expected.shape)
    assert sample["x"].data == expected.data


def test_text_is_read_too():
    texts = np.array([["", "a"], ["ü€", "\U0001f600 b"]])
    assert sample_in(npz(**{"0/inputs/x": texts}))["x"].data == Tensor.of(texts).data


@pytest.mark.parametrize(
    "first",
    [np.zeros(11), np.asfortranarray(np.arange(6).reshape(2, 3)), np.zeros(2, ">f4"), np.zeros(2, "c8")],
    ids=["too long", "columns first", "big-endian", "complex"],
)
def test_the_first_that_can_be_used_is_used(first):
    content = npz(**{"0/inputs/x": first, "1/inputs/x": np.float32([5])})
    assert sample_in(content, limit=10)["x"].data == np.float32([5]).tobytes()


def test_nothing_is_unpickled():
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("unpickled",))

    assert sample_in(npz(**{"0/inputs/x": np.array([Trap()])})) is None


@given(st.data())
def test_a_damaged_file_gives_no_sample_and_no_exception(data):
    content = bytearray(npz(**{"0/inputs/x": np.float32([1, 2, 3])}))
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    sample = sample_in(bytes(content))
    assert sample is None or isinstance(sample["x"].data, memoryview | list)
