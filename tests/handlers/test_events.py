import base64
import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.inference.events import UnknownEvent, answer_event
from handlers.inference.events.http_api import HttpApi
from handlers.inference.events.reply import Reply
from handlers.inference.function import Function
from handlers.inference.messages import Request, Response

ROWS = b'{"instances": [[1, 2, 3]]}'
PATH = "/v1/models/toy:predict"
JSON = {"Content-Type": "application/json"}


def http_api(method: str, path: str, headers: dict[str, str], body: bytes, stage: str = "$default") -> dict:
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path if stage == "$default" else f"/{stage}{path}",
        "rawQueryString": "",
        "headers": {name.lower(): value for name, value in headers.items()},
        "requestContext": {"stage": stage, "requestId": "r", "http": {"method": method, "path": path}},
        **carried(body),
    }


def http_api_with_stage(method: str, path: str, headers: dict[str, str], body: bytes) -> dict:
    return http_api(method, path, headers, body, stage="prod")


def rest_api(method: str, path: str, headers: dict[str, str], body: bytes) -> dict:
    return {
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": method,
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "requestContext": {"stage": "prod", "path": f"/prod{path}", "httpMethod": method},
        **carried(body),
    }


def load_balancer(method: str, path: str, headers: dict[str, str], body: bytes) -> dict:
    return {
        "requestContext": {"elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:…"}},
        "httpMethod": method,
        "path": path,
        "queryStringParameters": {},
        "headers": {name.lower(): value for name, value in headers.items()},
        **carried(body),
    }


def load_balancer_multi(method: str, path: str, headers: dict[str, str], body: bytes) -> dict:
    event = load_balancer(method, path, headers, body)
    single = event.pop("headers")
    event["multiValueHeaders"] = {name: [value] for name, value in single.items()}
    return event


def carried(body: bytes) -> dict:
    """Text as text, anything else as base64, as the sources themselves do it."""
    try:
        return {"body": body.decode() or None, "isBase64Encoded": False}
    except UnicodeDecodeError:
        return {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}


SOURCES = [http_api, http_api_with_stage, rest_api, load_balancer, load_balancer_multi]
X = {"name": "x", "shape": [1, 3], "datatype": "FP32", "parameters": {"binary_data_size": 12}}
HEADER = json.dumps({"inputs": [X], "parameters": {"binary_data_output": True}}).encode()
BINARY = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(HEADER))}
FLOATS = b"\x00\x00\x80\x3f\x00\x00\x00\xc0\x00\x00\x40\xff"


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(
    ("method", "path", "headers", "body"),
    [
        ("POST", PATH, JSON, ROWS),
        ("GET", "/v2/models/toy", {}, b""),
        ("GET", PATH, {}, b""),
        ("POST", "/v2/models/toy/infer", BINARY, HEADER + FLOATS),
        ("POST", PATH, JSON, '{"instances": ["größer"]}'.encode()),
    ],
    ids=["rows", "metadata", "405", "binary", "umlaut"],
)
def test_all_sources_give_the_same_answer(affine_service, source, method, path, headers, body):  # noqa: PLR0917
    lower = {name.lower(): value for name, value in headers.items()}
    expected = affine_service.answer(Request(method, path, headers=lower, body=body))
    answer = answer_event(affine_service, source(method, path, headers, body))
    reply = json.loads(answer.as_json())
    assert answer.as_dict() == reply
    assert answer.status == reply["statusCode"] == expected.status
    answered = base64.b64decode(reply["body"]) if reply["isBase64Encoded"] else reply["body"].encode()
    assert answered == expected.body
    headers_back = (
        {name: values[0] for name, values in reply["multiValueHeaders"].items()}
        if source is load_balancer_multi
        else reply["headers"]
    )
    assert headers_back == expected.headers


def test_a_compressed_answer_is_carried_as_base64(make_service):
    headers = {"accept-encoding": "gzip", "content-type": "application/json"}
    event = http_api("POST", PATH, headers, b'{"inputs": [30000]}')
    reply = json.loads(answer_event(make_service("expand"), event).as_json())
    assert (reply["headers"]["content-encoding"], reply["isBase64Encoded"]) == ("gzip", True)
    assert len(json.loads(gzip.decompress(base64.b64decode(reply["body"])))["outputs"]) == 30_000


def test_a_load_balancer_wants_the_words_of_the_status(affine_service):
    reply = answer_event(affine_service, load_balancer("GET", "/nowhere", {}, b""))
    assert reply.as_dict()["statusDescription"] == "404 Not Found"


def test_a_body_that_is_not_the_base64_it_says(affine_service):
    event = {**http_api("POST", PATH, JSON, ROWS), "isBase64Encoded": True}
    reply = answer_event(affine_service, event)
    assert reply.status == 400
    assert "base64" in json.loads(reply.as_dict()["body"])["error"]


@pytest.mark.parametrize("event", [{}, {"Records": []}, [], None, "text"])
def test_an_event_without_http_is_refused_with_a_sentence(affine_service, event):
    with pytest.raises(UnknownEvent, match="none of API Gateway's"):
        answer_event(affine_service, event)


@pytest.mark.parametrize(("source", "numbers"), [(http_api, 700_000), (load_balancer, 120_000)])
def test_an_answer_that_lambda_cannot_carry_is_a_413(make_service, source, numbers):
    service = make_service("expand")
    body = json.dumps({"inputs": [numbers]}).encode()
    reply = answer_event(service, source("POST", PATH, JSON, body))
    assert reply.status == 413
    assert "binary" in json.loads(reply.as_dict()["body"])["error"]
    small = json.dumps({"inputs": [numbers // 10]}).encode()
    assert answer_event(service, source("POST", PATH, JSON, small)).status == 200
    # The core has no such limit: it is the transport's.
    assert service.answer(Request("POST", PATH, body=body)).status == 200


@given(
    content=st.recursive(
        st.none() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ),
    indent=st.sampled_from([None, 1, "\t"]),
    is_ascii=st.booleans(),
)
def test_a_body_arrives_as_it_was_written(content, indent, is_ascii):
    body = json.dumps(content, indent=indent, ensure_ascii=is_ascii).encode(errors="surrogatepass")
    response = Response(200, {"content-type": "application/json"}, body)
    written = Reply(response, HttpApi.envelope({}, response)).as_json()
    assert json.loads(written)["body"].encode(errors="surrogatepass") == body


def test_pages_may_read_answers_and_refusals_where_the_environment_names_their_origin(affine_bundle):
    environ = {"COLDPRESS_BUNDLE_DIR": str(affine_bundle)}
    page = "https://app.example.com"
    for path, status in ((PATH, 200), ("/nothing", 404)):
        event = rest_api("POST", path, JSON, ROWS)
        told = Function(environ | {"COLDPRESS_CORS_ORIGIN": page}).answer(event, "1").as_dict()
        assert (told["statusCode"], told["headers"]["access-control-allow-origin"]) == (status, page)
        untold = Function(environ).answer(event, "1").as_dict()
        assert "access-control-allow-origin" not in untold["headers"]


def test_a_rest_api_may_be_answered_by_a_stream_and_nobody_else(affine_bundle):
    environ, asking = {"COLDPRESS_BUNDLE_DIR": str(affine_bundle)}, {"stageVariables": {"streaming": "1"}}
    ours = Function(environ, send=lambda *_: None)
    for path, status in ((PATH, 200), ("/nothing", 404)):
        reply = ours.answer(rest_api("POST", path, JSON, ROWS) | asking, "1")
        assert reply.is_streamed
        head, body = reply.as_stream()
        assert json.loads(head)["statusCode"] == status
        assert json.loads(head)["headers"]["content-type"] == "application/json"
        assert json.loads(body)
    assert not ours.answer(http_api("POST", PATH, JSON, ROWS) | asking, "1").is_streamed
    assert not ours.answer(rest_api("POST", PATH, JSON, ROWS), "1").is_streamed
    # AWS's runtime client has no streams.
    assert not Function(environ).answer(rest_api("POST", PATH, JSON, ROWS) | asking, "1").is_streamed
