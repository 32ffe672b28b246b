"""HTTP to event and back, for requests that nobody thought of."""

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.events import HttpRequest, HttpResponse, MalformedAnswer, Target, to_event, to_response

TARGET = Target(api_id="a", stage="$default", route_key="$default", path_parameters={}, stage_variables={})
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def event_of(body=b"", content_type="", path="/", query=""):
    headers = {"host": "h", "content-type": content_type}
    return to_event(HttpRequest("POST", path, query, headers, body), TARGET)


@given(
    st.binary(min_size=1), st.sampled_from(["", "text/plain; charset=utf-8", "application/json", "image/png"])
)
def test_a_body_is_never_changed(body, content_type):
    event = json.loads(json.dumps(event_of(body, content_type)))
    decoded = base64.b64decode(event["body"]) if event["isBase64Encoded"] else event["body"].encode()
    assert decoded == body


@pytest.mark.parametrize(
    ("content_type", "is_text"),
    [
        ("text/csv", True),
        ("application/json; charset=utf-8", True),
        ("APPLICATION/JSON", True),
        ("application/xml", True),
        ("application/javascript", True),
        ("application/x-www-form-urlencoded", False),
        ("application/vnd.api+json", False),
        ("application/octet-stream", False),
        ("", False),
    ],
)
def test_which_bodies_are_text(content_type, is_text):
    assert event_of(b"x", content_type)["isBase64Encoded"] is not is_text


def test_no_body_is_no_key():
    assert "body" not in event_of()


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_the_path_arrives_decoded(path):
    assert event_of(path=f"/{quote(path, safe='')}")["rawPath"] == f"/{path}"


@given(st.binary(), st.integers(200, 599))
def test_a_binary_answer_goes_out_as_it_is(body, status):
    answer = {"statusCode": status, "body": base64.b64encode(body).decode(), "isBase64Encoded": True}
    response = to_response(json.dumps(answer).encode())
    assert (response.status, response.body) == (status, body)


@given(
    JSON
    | st.fixed_dictionaries({"statusCode": JSON}, optional={"body": JSON, "headers": JSON, "cookies": JSON})
)
def test_whatever_a_handler_returns_is_an_answer_or_malformed(answer):
    try:
        response = to_response(json.dumps(answer).encode())
    except MalformedAnswer:
        return
    assert isinstance(response, HttpResponse)
    assert 100 <= response.status <= 599
    assert all("\n" not in value and "\r" not in value for _, value in response.headers)


def test_what_is_not_json_is_malformed():
    with pytest.raises(MalformedAnswer):
        to_response(b"Task timed out")
