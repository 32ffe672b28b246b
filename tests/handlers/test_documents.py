"""Documents against the standard library's json, and what the native library does at its edges."""

import json
import math
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundle.json_text import loads
from bundle.served import TensorSpec
from handlers.inference.documents import Body, Numbers, as_objects, read_event, read_json
from handlers.inference.errors import RequestError
from handlers.inference.reading import read

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
)
numbers = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
long_lists = st.lists(numbers, min_size=20, max_size=60)
values = st.recursive(
    scalars | st.text(max_size=20) | long_lists | st.lists(long_lists, min_size=1, max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
layouts = st.sampled_from([{}, {"separators": (",", ":")}, {"indent": 1}, {"ensure_ascii": False}])


def same(value: Any, other: Any) -> bool:
    """Equal in type and value all the way down."""
    return repr(value) == repr(other)


@given(value=values, layout=layouts)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_documents_are_what_json_makes_of_them(value, layout):
    text = json.dumps(value, **layout)
    assert same(as_objects(read_json(text.encode(errors="surrogatepass"))), json.loads(text))


@given(value=values, data=st.data())
@settings(max_examples=200, deadline=None, derandomize=True)
def test_documents_that_are_cut_or_changed_are_refused_where_json_refuses_them(value, data):
    text = bytearray(json.dumps(value).encode())
    at = data.draw(st.integers(0, len(text) - 1))
    if data.draw(st.booleans()):
        del text[at:]
    else:
        text[at] = data.draw(st.sampled_from(b'[]{},:"\\0123456789+-.eE \nNItfn\x00\xff'))
    text = bytes(text)
    try:
        expected = json.loads(text.decode())
    except ValueError:
        expected = RequestError
    try:
        found = as_objects(read_json(text))
    except RequestError:
        found = RequestError
    if "inf" not in repr(expected):  # 1e999 is JSON, but no float64
        assert same(found, expected)


def test_long_lists_stay_text():
    content = read_json(b'{"a": [[%b], [%b]], "b": [1, 2]}' % (b"0.5," * 30 + b"1", b"0.5," * 30 + b"1"))
    assert type(content["a"]) is Numbers
    assert content["b"] == [1, 2]


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity"])
def test_literals_that_look_like_placeholders_are_what_they_say(literal):
    long_list = [0.5] * 40
    content = as_objects(read_json(f'{{"a": {long_list}, "b": {literal}, "c": {long_list}}}'.encode()))
    assert content["a"] == content["c"] == long_list
    assert same(content["b"], float(literal))
    strings = as_objects(read_json(f'{{"{literal}": {long_list}, "b": "{literal}"}}'.encode()))
    assert strings == {literal: long_list, "b": literal}


def test_deep_nesting_is_refused_at_once():
    for text in (b"[" * 1_000_000, b"[" * 100_000 + b"1" + b"]" * 100_000, b'{"a":' * 100_000 + b"[" * 100):
        with pytest.raises(RequestError):
            read(read_json(text), TensorSpec("x", "float32", []))


def test_a_list_of_33_axes_is_read():
    text = b"[" * 33 + b"0.5," * 40 + b"1" + b"]" * 33
    assert read(read_json(text), TensorSpec("x", "float32", [])).shape == (*[1] * 32, 41)


@given(value=numbers, space=st.sampled_from(["", " ", "  ", "\n\t"]))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_every_number_is_the_one_that_python_reads(value, space):
    text = f"[{space}{json.dumps(value)}{space}, {'0.25, ' * 40}1]"
    if type(value) is int and int(float(value)) != value:
        with pytest.raises(RequestError, match="cannot hold exactly"):
            read(read_json(text.encode()), TensorSpec("x", "float64", []))
        return
    expected = struct.pack("<42d", value, *[0.25] * 40, 1)
    assert bytes(read(read_json(text.encode()), TensorSpec("x", "float64", [])).data) == expected


decimals = st.from_regex(r"-?(0|[1-9][0-9]{0,24})(\.[0-9]{1,25})?([eE][-+]?[0-9]{1,3})?", fullmatch=True)


@given(texts=st.lists(decimals, min_size=30, max_size=30))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_decimals_of_any_length_are_rounded_as_python_does(texts):
    texts = [text if set(text) & set(".eE") else f"{text}.0" for text in texts]
    text = f"[{','.join(texts)}]".encode()
    if any(math.isinf(float(text)) for text in texts):
        with pytest.raises(RequestError, match="out of the range"):
            read(read_json(text), TensorSpec("x", "float64", []))
        return
    assert bytes(read(read_json(text), TensorSpec("x", "float64", [])).data) == struct.pack(
        "<30d", *map(float, texts)
    )


@pytest.mark.parametrize(
    "wrong",
    ["01", "+1", ".5", "5.", "1e", "1e+", "--1", "-", "1.2.3", "1 2", "0x1", "1_0", "1,", ",1", "", "1]"],
)
def test_what_is_no_number_is_refused_among_many(wrong):
    for text in (f"[{wrong},{'0.5,' * 40}1]", f"[{'0.5,' * 40}{wrong}]", f"[{'0.5,' * 40}{wrong},1]"):
        with pytest.raises(RequestError, match="not JSON"):
            read(read_json(text.encode()), TensorSpec("x", "float32", []))


bodies = st.text(min_size=100, max_size=300) | st.text(
    alphabet='"\\/\n\t\x00é€😀\ud800\udc00x', min_size=100, max_size=300
)


@given(body=bodies, layout=layouts, extra=st.dictionaries(st.text(max_size=5), bodies, max_size=2))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_the_body_of_an_event_is_its_string(body, layout, extra):
    event = json.dumps({"headers": {"body": body, **extra}, "body": body}, **layout).encode(errors="replace")
    content = read_event(event)
    found, expected = content["body"], json.loads(event)["body"]
    assert content["headers"] == json.loads(event)["headers"]
    assert (found.read().decode(errors="surrogatepass") if type(found) is Body else found) == expected


def test_a_long_body_stays_text():
    content = read_event(json.dumps({"body": "é" * 300}).encode())
    assert type(content["body"]) is Body
    assert content["body"].read() == ("é" * 300).encode()


@pytest.mark.parametrize(
    "event", [b"", b"{", b'{"body": "' + b"x" * 300, b'{"body": "' + b"x" * 300 + b'\\x"}', b"[NaN]"]
)
def test_what_is_no_event_is_refused(event):
    with pytest.raises(ValueError, match=r"."):
        read_event(event)


def test_json_text_is_strict():
    assert loads(b' {"a": [1, 2.5, null]}\n') == {"a": [1, 2.5, None]}
    for text in (b"", b"NaN", b"1 2", b"\xff", b'"\x01"', b"[" * 100_000):
        with pytest.raises(ValueError, match=r"."):
            loads(text)
