import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.inference import casting
from handlers.inference.casting import cast

NUMBERS = [
    *("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"),
    *("float16", "float32", "float64"),
]
SOURCES = {"d": np.float64, "q": np.int64}


def check(values: np.ndarray, dtype: str) -> None:
    data, low, high = cast(memoryview(values), dtype)
    assert (low, high) == (values.min(), values.max())
    assert isinstance(low, int) == (values.dtype == np.int64)
    assert (data.format, data.ndim) == ("B", 1)
    with np.errstate(all="ignore"):
        assert bytes(data) == values.astype(dtype).tobytes()


def range_of(dtype: str, code: str) -> tuple[float, float]:
    """The extremes of what fits and what the source can hold."""
    info = np.finfo(dtype) if dtype.startswith("float") else np.iinfo(dtype)
    low, high = np.array([info.min, info.max]).tolist()
    if code == "d":
        return float(low), np.nextafter(float(high), 0)
    return int(max(low, -(2**63))), int(min(high, 2**63 - 1))


@pytest.mark.parametrize("count", [1, casting._FEW - 1, casting._FEW, 30_000])
@pytest.mark.parametrize("code", SOURCES)
@pytest.mark.parametrize("dtype", NUMBERS)
def test_as_numpy_casts(dtype, code, count):
    low, high = range_of(dtype, code)
    values = np.random.default_rng(0).uniform(low / 2, high / 2, count).astype(SOURCES[code])
    if count > 2:
        values[:2] = low, high
    check(values, dtype)


@given(
    values=st.lists(st.floats(-65504, 65504), min_size=1, max_size=4),
    copies=st.sampled_from([1, casting._FEW]),
    dtype=st.sampled_from(["float16", "float32", "float64", "int32", "int64"]),
)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_floats_are_rounded_once(values, copies, dtype):
    check(np.array(values * copies), dtype)


def test_a_half_that_would_be_rounded_twice():
    # Just above the middle of two float16 values, and as a float32 exactly in the middle.
    values = np.full(casting._FEW, 1 + 2**-11 + 2**-30)
    assert values.astype(np.float32).astype(np.float16)[0] != values.astype(np.float16)[0]
    check(values, "float16")


@pytest.mark.parametrize("count", [1, casting._FEW])
@pytest.mark.parametrize(
    ("value", "dtype"), [(300, "uint8"), (-1, "uint64"), (1e39, "float32"), (1e5, "float16")]
)
def test_what_is_out_of_range_shows_in_the_extremes(value, dtype, count):
    values = np.zeros(count + 1, np.int64 if isinstance(value, int) else np.float64)
    values[-1] = value
    assert cast(memoryview(values), dtype)[1:] == (min(value, 0), max(value, 0))
