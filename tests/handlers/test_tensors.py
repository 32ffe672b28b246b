import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from bundle.served import TensorSpec
from handlers.inference import reading
from handlers.inference.documents import read_json
from handlers.inference.errors import RequestError
from handlers.inference.tensor import Tensor
from handlers.inference.writing import nest, to_json, to_texts

NUMBERS = ["float16", "float32", "float64"] + [
    f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)
]


def read(text: str, dtype: str, key: str | None = None) -> Tensor:
    """The tensor that is the whole of the text, or below a key of it."""
    content = read_json(text.encode())
    return reading.read(content if key is None else content[key], TensorSpec("x", dtype, []))


def to_array(tensor: Tensor) -> np.ndarray:
    return np.frombuffer(tensor.data, tensor.dtype).reshape(tensor.shape)


def to_tensor(array: np.ndarray) -> Tensor:
    return Tensor(str(array.dtype), array.shape, memoryview(array.tobytes()))


def write(array: np.ndarray) -> str:
    written = to_json(to_tensor(array))
    assert written == nest(to_texts(to_tensor(array)), array.shape)
    return written


def is_exact(value: Any, dtype: str) -> bool:
    """Whether the dtype holds the number, as the docstring of reading.py has it; numpy is the judge."""
    if not dtype.startswith("float"):
        bounds = np.iinfo(dtype)
        is_whole = type(value) is int or (value.is_integer() and abs(value) < 2**53)
        return is_whole and bounds.min <= int(value) <= bounds.max
    with np.errstate(over="ignore"):
        try:
            rounded = float(np.dtype(dtype).type(np.float64(value)))
        except OverflowError:
            return False
    return np.isfinite(rounded) and (type(value) is float or int(rounded) == value)


floats = st.floats(allow_nan=False, allow_infinity=False)
integers = st.integers(-(2**70), 2**70) | st.sampled_from(
    [
        sign * 2**bits + more
        for sign in (1, -1)
        for bits in (7, 8, 11, 15, 16, 24, 31, 53, 63, 64)
        for more in (-1, 0, 1)
    ]
)
small = st.integers(0, 100)


@given(
    dtype=st.sampled_from(NUMBERS),
    values=st.lists(floats, max_size=4)
    | st.lists(integers, max_size=3)
    | st.lists(small, max_size=400)
    | st.lists(floats.map(lambda value: value % 1000) | small, max_size=400)
    | st.lists(floats | integers, max_size=4),
)
@settings(max_examples=500, deadline=None, derandomize=True)
def test_numbers_are_read_as_numpy_reads_them_or_refused(dtype, values):
    text = json.dumps(values)
    if all(is_exact(value, dtype) for value in values):
        expected = np.array([float(v) if dtype.startswith("float") else int(v) for v in values], dtype)
        np.testing.assert_array_equal(to_array(read(text, dtype)), expected)
    else:
        with pytest.raises(RequestError, match=r"^input 'x' "):
            read(text, dtype)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize(
    "text",
    [
        "[-0.0, 0]",
        "[1e-400, -1e-400, 5e-324]",
        "[0.1, 1E2, 1e+2, 100.0e-2]",
        "[0.10000000149011612]",
        "[0.333333333333333314829616256247390992939472198486328125]",
        "[65504, -65504, 2048]",
    ],
)
def test_decimals_are_rounded_to_the_nearest(dtype, text):
    expected = np.array(json.loads(text)).astype(dtype)
    read_back = to_array(read(text, dtype))
    np.testing.assert_array_equal(read_back, expected)
    np.testing.assert_array_equal(np.signbit(read_back), np.signbit(expected))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint64"])
def test_numbers_beyond_float64_are_refused(dtype):
    for text in ("[1e400]", "[0, -1e400]", f"[{10**400}]"):
        with pytest.raises(RequestError, match="range"):
            read(text, dtype)


@pytest.mark.parametrize("shape", [(1, 3, 48, 192), (10_000, 2), (2, 0), (0,), (1,) * 40, (3, 1000)])
@pytest.mark.parametrize("dtype", ["float32", "int64", "uint8"])
def test_large_and_empty_shapes(shape, dtype):
    random = np.random.default_rng(1)
    array = (random.random(shape) * 200).astype(dtype)
    read_back = read(json.dumps(array.tolist()), dtype)
    assert read_back.shape == shape[: shape.index(0) + 1] if 0 in shape else shape
    np.testing.assert_array_equal(to_array(read_back), array)


@pytest.mark.parametrize("wrong", ["[1]", "[1,2,3]", "[1,[2]]", "[[1],[2]]", "[[],[1,2]]", "[]", "1", "1,2"])
@pytest.mark.parametrize("before", ['{"x": ', '{"[": "[,]", "x":', '{"\\\\\\"": 1, "x": ', ""])
@pytest.mark.parametrize("at", [1, -1])
def test_one_row_of_many_that_is_ragged(before, wrong, at):
    rows = ["[1, 2]"] * 3000
    text = f"{before}[{','.join(rows)}]{'}' * bool(before)}"
    assert read(text, "uint8", "x" if before else None).shape == (3000, 2)
    rows[at] = wrong
    with pytest.raises(RequestError, match="ragged"):
        read(f"{before}[{','.join(rows)}]{'}' * bool(before)}", "uint8", "x" if before else None)


def test_a_scalar_has_no_axes():
    assert read("5", "int64").shape == ()


nestings = st.recursive(st.integers(0, 9), lambda inner: st.lists(inner, max_size=3), max_leaves=12)


def shape_of(value: Any) -> tuple[int, ...] | None:
    """The shape of a nesting, None where it is ragged."""
    if not isinstance(value, list):
        return ()
    shapes = {shape_of(item) for item in value}
    if not shapes:
        return (0,)
    shape = shapes.pop()
    return None if shapes or shape is None else (len(value), *shape)


@given(value=nestings)
@settings(max_examples=500, deadline=None, derandomize=True)
def test_ragged_nestings_are_refused(value):
    expected = shape_of(value)
    if expected is None:
        with pytest.raises(RequestError, match=r"ragged"):
            read(json.dumps(value), "int32")
    else:
        assert read(json.dumps(value), "int32").shape == expected


@pytest.mark.parametrize("at", [0, 1, 13_000, -1])
@pytest.mark.parametrize("hidden", ["[5]", "[], 5", "[[5]]"])
def test_a_list_hidden_among_many_numbers_is_refused(at, hidden):
    row = ["0.5"] * 27_000
    row[at] = hidden
    for text in (f"[{','.join(row)}]", f"[[{','.join(row)}],[{','.join(row)}]]"):
        with pytest.raises(RequestError, match="ragged"):
            read(text, "float32")


@pytest.mark.parametrize(("dtype", "enough"), [("float16", 5), ("float32", 9)])
@given(data=st.data())
@settings(max_examples=300, deadline=None, derandomize=True)
def test_short_decimals_give_the_same_float(dtype, enough, data):
    array = data.draw(npst.arrays(dtype, 8, elements={"allow_nan": False, "allow_infinity": False}))
    for written, value in zip(to_texts(to_tensor(array)), array, strict=True):
        assert np.dtype(dtype).type(json.loads(written)) == value
        assert digits(written) <= enough
        assert type(json.loads(written)) is float


@pytest.mark.parametrize("dtype", NUMBERS)
@given(data=st.data())
@settings(max_examples=50, deadline=None, derandomize=True)
def test_what_is_written_reads_back(dtype, data):
    array = data.draw(npst.arrays(dtype, npst.array_shapes(max_dims=4, min_side=0)))
    written = write(array)
    assert np.array(json.loads(written)).size == array.size
    if 0 not in array.shape and (not dtype.startswith("float") or np.isfinite(array).all()):
        np.testing.assert_array_equal(np.array(json.loads(written), dtype), array)
        np.testing.assert_array_equal(to_array(read(written, dtype)), array)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_non_finite_numbers_are_literals(dtype):
    array = np.array([np.nan, -np.inf, 1, np.inf], dtype)
    assert write(array) == "[NaN,-Infinity,1.0,Infinity]"
    np.testing.assert_array_equal(to_array(read(write(array), dtype)), array)
    assert write(np.array([np.nan], dtype)) == "[NaN]"


def test_large_numbers_whose_sum_is_infinite():
    assert write(np.float64([1.7e308, 1.7e308, -0.0])) == "[1.7e+308,1.7e+308,-0.0]"


def test_long_tensors_are_short_to_their_end():
    array = np.linspace(0, 1, 20_001, dtype=np.float32)
    texts = to_texts(to_tensor(array))
    np.testing.assert_array_equal(np.array(texts, np.float32), array)
    assert max(map(digits, texts)) <= 9


def digits(text: str) -> int:
    return len(text.partition("e")[0].replace(".", "").strip("-0"))
