import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from bundle.manifest import TensorSpec
from handlers.inference.tensors import from_json, to_list


@pytest.mark.parametrize(("dtype", "enough"), [("float16", 5), ("float32", 9)])
@given(data=st.data())
@settings(max_examples=300, deadline=None, derandomize=True)
def test_short_decimals_give_the_same_float(dtype, enough, data):
    array = data.draw(npst.arrays(dtype, 8, elements={"allow_nan": False, "allow_infinity": False}))
    for written, value in zip(to_list(array), array, strict=True):
        assert np.dtype(dtype).type(written) == value
        if 1e-13 < abs(float(value)) < 1e14:
            assert digits(written) <= enough


def test_long_tensors_are_short_to_their_end():
    array = np.linspace(0, 1, 20_001, dtype=np.float32).reshape(3, -1)
    written = to_list(array)
    np.testing.assert_array_equal(np.array(written, np.float32), array)
    assert max(map(digits, written[-1])) <= 9


def digits(value: float) -> int:
    mantissa = msgspec.json.encode(abs(value)).decode().partition("e")[0]
    return len(mantissa.replace(".", "").strip("0"))


@given(array=npst.arrays(np.float32, npst.array_shapes(max_dims=4)))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_seventeen_digits_are_read_exactly(array):
    spec = TensorSpec(name="x", dtype="float32", shape=["n"] * array.ndim)
    finite = np.nan_to_num(array)
    read = from_json(msgspec.json.decode(msgspec.json.encode(finite.tolist())), spec)
    np.testing.assert_array_equal(read, finite)


def test_shapes_of_empty_lists():
    spec = TensorSpec(name="x", dtype="int64", shape=["n", "m"])
    assert from_json([], spec).shape == (0,)
    assert from_json([[], []], spec).shape == (2, 0)
    assert from_json(5, spec).shape == ()
