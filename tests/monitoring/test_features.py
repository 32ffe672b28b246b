"""Any tensors: what comes out is finite in size, and what goes in raises nothing but a sentence."""

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from monitoring.baseline import decode, encode
from monitoring.build import build
from monitoring.explain import explain
from monitoring.features import SchemaMismatch
from monitoring.figures import figures
from monitoring.monitor import Monitor
from monitoring.view import view

DTYPES = st.sampled_from([np.float16, np.float32, np.float64, np.int8, np.int64, np.uint8, np.bool_])


@st.composite
def tensors(draw):
    """A tensor of any type and shape, for the baseline and for what comes after."""
    dtype = draw(DTYPES)
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=3, max_side=6))
    counts = draw(st.integers(1, 40)), draw(st.integers(1, 20))
    elements = hnp.from_dtype(np.dtype(dtype), allow_nan=True, allow_infinity=True)
    return [draw(hnp.arrays(dtype, (count, *shape), elements=elements, fill=elements)) for count in counts]


@settings(max_examples=60, deadline=None)
@given(tensors(), tensors())
@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
def test_any_tensors_are_watched(one, other):
    count = min(len(one[0]), len(other[0]))
    later = min(len(one[1]), len(other[1]))
    baseline = decode(encode(build({"x": one[0][:count]}, {"y": other[0][:count]})))
    monitor = Monitor(baseline)
    for _ in range(3):
        monitor.update({"x": one[1][:later]}, {"y": other[1][:later]})
    assert monitor.state.evidence.count == 3 * later
    assert np.isfinite(monitor.evidence).all()
    figures(view(monitor))
    explain(monitor)
    again = Monitor(baseline, monitor.encode())
    assert again.encode() == monitor.encode()


@settings(max_examples=60, deadline=None)
@given(tensors(), tensors())
@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
def test_another_schema_raises_a_sentence_or_is_the_same_one(one, other):
    monitor = Monitor(build({"x": one[0]}, {}))
    before = monitor.encode()
    alike = one[0].shape[1:] == other[1].shape[1:]
    with contextlib.nullcontext() if alike else pytest.raises(SchemaMismatch, match="'x'"):
        monitor.update({"x": other[1]}, {})
    assert alike or monitor.encode() == before


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.text(max_size=8), min_size=1, max_size=60),
    st.lists(st.text(max_size=8), min_size=1, max_size=20),
)
def test_any_texts_are_watched(before, after):
    baseline = build(
        {"t": np.array(before, dtype=object)[:, None]}, {"y": np.zeros((len(before), 1), np.float32)}
    )
    monitor = Monitor(decode(encode(baseline)))
    monitor.update(
        {"t": np.array(after, dtype=object)[:, None]}, {"y": np.zeros((len(after), 1), np.float32)}
    )
    assert monitor.state.evidence.count == len(after)


def test_a_picture_is_averaged_so_that_its_place_and_brightness_remain():
    rng = np.random.default_rng(0)
    pictures = rng.normal(size=(200, 3, 64, 64)).astype(np.float32)
    monitor = Monitor(build({"image": pictures}, {}))
    pictures = rng.normal(size=(100, 3, 64, 64)).astype(np.float32)
    pictures[:, 1, :32, :32] += 0.5
    monitor.update({"image": pictures}, {})
    assert monitor.alarm is not None


def test_another_language_is_found_in_its_characters():
    rng = np.random.default_rng(0)
    english = ["the", "cat", "was", "here", "when", "they", "went", "home", "again"]
    german = ["die", "Katze", "war", "zuvor", "schon", "nach", "Hause", "gegangen", "für"]

    def sentences(words, count):
        return np.array([" ".join(rng.choice(words, 7)) for _ in range(count)], dtype=object)[:, None]

    monitor = Monitor(build({"text": sentences(english, 500)}, {}))
    monitor.update({"text": sentences(english, 500)}, {})
    assert monitor.alarm is None
    monitor.update({"text": sentences(german, 30)}, {})
    assert monitor.alarm is not None
    assert explain(monitor)[0].feature in ("text: surprise", "text: never seen")
