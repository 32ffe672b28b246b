import gzip
import json
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from handlers.inference.encodings import MAX_INFLATED_BYTES
from handlers.inference.errors import InitError
from handlers.inference.messages import Request, Response
from handlers.inference.service import Service

ROWS = b'{"instances": [[1, 2, 3]]}'
ANSWER = b'{"predictions":[[3.0,5.0,7.0]]}'


def ask(service: Service, method: str, path: str, body: bytes = b"", **headers: str) -> Response:
    return service.answer(
        Request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()}, body=body)
    )


def error(response: Response) -> str:
    content = json.loads(response.body)
    assert list(content) == ["error"]
    return content["error"]


@pytest.mark.parametrize(
    ("method", "path", "status", "sentence"),
    [
        ("GET", "/", 404, "there is no / here: the model is at /v1/models/toy"),
        ("GET", "/v1/models", 404, "there is no /v1/models here"),
        ("GET", "/v1/models/other", 404, "this endpoint serves 'toy'"),
        ("GET", "/v1/models/toy/versions/2", 404, "this endpoint serves version '1'"),
        ("POST", "/v1/models/toy/versions/2:predict", 404, "this endpoint serves version '1'"),
        ("POST", "/v2/models/other/infer", 404, "this endpoint serves 'toy'"),
        ("POST", "/v1/models/toy:train", 404, "there is no /v1/models/toy:train here"),
        ("GET", "/v1/models/toy:classify", 405, "takes POST, not GET"),
        ("GET", "/v1/models/toy/labels/canary", 404, "there is no label 'canary' of 'toy' here"),
        ("POST", "/v1/models/toy/labels/canary:predict", 404, "this endpoint serves version '1'"),
        ("GET", "/v2/models/toy/labels/canary", 404, "there is no /v2/models/toy/labels/canary here"),
        ("GET", "/v1/models/toy/versions/", 404, "there is no"),
        ("GET", "/v1/models/", 404, "there is no"),
        ("POST", "/v1/models/toy", 405, "takes GET, not POST"),
        ("GET", "/v1/models/toy:predict", 405, "takes POST, not GET"),
        ("DELETE", "/v2/models/toy/infer", 405, "takes POST, not DELETE"),
        ("GET", "/v2/models/../../etc/passwd", 404, "there is no"),
    ],
)
def test_paths_and_methods_that_there_are_not(affine_service, method, path, status, sentence):
    response = ask(affine_service, method, path)
    assert response.status == status
    assert sentence in error(response)
    assert ("allow" in response.headers) == (status == 405)


def test_the_path_may_be_percent_encoded(affine_service):
    assert ask(affine_service, "POST", "/v1/models/toy%3Apredict", ROWS).body == ANSWER
    assert ask(affine_service, "POST", "/v1/models/t%6fy%3apredict", ROWS).body == ANSWER
    for path in ("/v1/models/toy%", "/v1/models/%zz", "/v1/models/%ff%4", "/v1/models/ü%c3%bc"):
        assert ask(affine_service, "GET", path).status == 404


@pytest.mark.parametrize(
    "media_type",
    [
        "",
        "application/json",
        "application/json; charset=utf-8",
        "application/x-www-form-urlencoded",
        "a/b+json",
    ],
)
def test_media_types_that_clients_send(affine_service, media_type):
    assert ask(affine_service, "POST", "/v1/models/toy:predict", ROWS, content_type=media_type).body == ANSWER


@pytest.mark.parametrize("media_type", ["text/xml", "multipart/form-data", "image/png"])
def test_media_types_that_cannot_be_meant(affine_service, media_type):
    response = ask(affine_service, "POST", "/v1/models/toy:predict", ROWS, content_type=media_type)
    assert response.status == 415
    assert media_type in error(response)


def test_gzip(affine_service):
    def post(body: bytes, encoding: str = "gzip") -> Response:
        return ask(affine_service, "POST", "/v1/models/toy:predict", body, content_encoding=encoding)

    assert post(gzip.compress(ROWS)).body == ANSWER
    for body in (ROWS, gzip.compress(ROWS)[:-9], gzip.compress(ROWS) + b"more", b""):
        response = post(body)
        assert response.status == 400
        assert "gzip" in error(response)
    assert post(ROWS, "br").status == 415


def test_deflate(affine_service):
    body = zlib.compress(ROWS)
    assert (
        ask(affine_service, "POST", "/v1/models/toy:predict", body, content_encoding="deflate").body == ANSWER
    )


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip, deflate", "gzip"),
        ("deflate;q=0.5", "deflate"),
        ("br, GZIP;q=1.0", "gzip"),
        ("gzip;q=0, br", None),
        ("identity", None),
        ("", None),
    ],
)
def test_long_answers_are_compressed_for_who_accepts_it(make_service, accepted, encoding):
    body = b'{"inputs": [30000]}'
    plain = ask(make_service("expand"), "POST", "/v1/models/toy:predict", body)
    response = ask(make_service("expand"), "POST", "/v1/models/toy:predict", body, accept_encoding=accepted)
    assert response.headers.get("content-encoding") == encoding
    decode = {"gzip": gzip.decompress, "deflate": zlib.decompress, None: bytes}[encoding]
    assert decode(response.body) == plain.body
    short = ask(
        make_service("expand"), "POST", "/v1/models/toy:predict", b'{"inputs": [3]}', accept_encoding=accepted
    )
    assert "content-encoding" not in short.headers


@pytest.mark.parametrize(
    ("path", "route", "status"),
    [
        ("/v1/models/toy/labels/canary", "/v1/models/toy/labels/canary", 200),
        ("/v1/models/toy/labels/canary/metadata", "/v1/models/toy/labels/canary/{proxy+}", 200),
        ("/v1/models/toy/labels/stable", "/v1/models/toy/labels/canary", 404),
        ("/v1/models/toy/labels/canary", "/v1/models/toy/{proxy+}", 404),
        ("/v1/models/toy/labels/canary", "/v1/models/{model}/labels/{label}", 404),
        ("/v1/models/toy/labels/canary", "/{proxy+}", 404),
        ("/v1/models/toy/labels/canary", "", 404),
    ],
)
def test_a_label_is_known_where_its_own_route_brought_the_request(affine_service, path, route, status):
    assert affine_service.answer(Request("GET", path, route=route)).status == status


def test_who_asks_is_told_the_cpu_that_answered(affine_service):
    told = ask(affine_service, "POST", "/v1/models/toy:predict", ROWS, coldpress_cpu="1")
    assert told.body == ANSWER
    machine = Path("/proc/cpuinfo").read_text()
    cpu = json.loads(told.headers["coldpress-cpu"])
    assert cpu["flags"]
    assert all(word in machine for word in [cpu["model"], *cpu["flags"]])
    assert "coldpress-cpu" in ask(affine_service, "GET", "/nothing", coldpress_cpu="1").headers
    assert "coldpress-cpu" not in ask(affine_service, "POST", "/v1/models/toy:predict", ROWS).headers


def test_a_gzip_bomb_is_refused(affine_service):
    bomb = gzip.compress(bytes(MAX_INFLATED_BYTES + 1), 1)
    response = ask(affine_service, "POST", "/v1/models/toy:predict", bomb, content_encoding="gzip")
    assert response.status == 413


def test_a_failure_of_ours_is_a_500_without_internals(affine_bundle, capfd):
    service = Service.from_folder(affine_bundle)
    service.model._session = None  # what no request can bring about
    response = ask(service, "POST", "/v1/models/toy:predict", ROWS)
    assert response.status == 500
    assert error(response) == "The request failed inside the server; its log says where."
    assert "AttributeError at dataplane.py:" in capfd.readouterr().err


def test_name_and_version_of_the_urls(affine_bundle):
    service = Service.from_folder(affine_bundle, name="another", version="12")
    assert ask(service, "POST", "/v1/models/another/versions/12:predict", ROWS).body == ANSWER
    assert ask(service, "POST", "/v1/models/toy:predict", ROWS).status == 404


def test_a_folder_that_holds_no_bundle(tmp_path):
    with pytest.raises(InitError, match=r"holds no manifest\.json"):
        Service.from_folder(tmp_path)


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("\ud800")
names = st.sampled_from(
    ["instances", "inputs", "outputs", "signature_name", "name", "shape", "datatype", "data", "id", "x", "y"]
) | st.sampled_from(
    ["parameters", "b64", "binary_data_size", "binary_data_output", "binary_data", "examples", "context"]
)
values = st.recursive(
    scalars | st.sampled_from(["x", "y", "FP32", "serving_default"]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(names | st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=20,
)
VALID = [
    {"instances": [[1, 2, 3]]},
    {"inputs": {"x": [[1, 2, 3]]}},
    {"examples": [{"x": [1, 2, 3]}], "context": {}},
    {"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3], "parameters": {}}]},
    {
        "id": "1",
        "parameters": {"binary_data_output": True},
        "inputs": [
            {"name": "x", "shape": [1, 3], "datatype": "FP32", "parameters": {"binary_data_size": 12}}
        ],
        "outputs": [{"name": "y", "parameters": {"binary_data": True}}],
    },
]


def places(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


def replaced(value, path, new):
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


@st.composite
def bodies(draw):
    """A valid body in which something was replaced, then perhaps some of its bytes."""
    value = draw(st.sampled_from(VALID))
    for _ in range(draw(st.integers(0, 2))):
        value = replaced(value, draw(st.sampled_from(list(places(value)))), draw(values))
    body = json.dumps(value).encode(errors="surrogatepass")
    if draw(st.booleans()) and body:
        start = draw(st.integers(0, len(body)))
        body = body[:start] + draw(st.binary(max_size=4)) + body[start + draw(st.integers(0, 4)) :]
    return body


PATHS = ["/v1/models/toy:predict", "/v2/models/toy/infer", "/v1/models/toy", "/v2/models/toy", "/v2", "/x"]
PATHS += ["/v1/models/toy:regress", "/v1/models/toy:classify", "/v2/repository/index"]
header_sets = st.fixed_dictionaries(
    {},
    optional={
        "content-type": st.sampled_from(["application/json", "text/xml", "é", ""]) | st.text(max_size=9),
        "content-encoding": st.sampled_from(["gzip", "identity", "br"]),
        "accept-encoding": st.sampled_from(["gzip", "*"]) | st.text(max_size=9),
        "inference-header-content-length": st.integers(-1, 300).map(str) | st.text(max_size=4),
    },
)


requests = st.builds(
    Request,
    method=st.sampled_from(["POST", "POST", "POST", "GET", "PUT", ""]),
    path=st.sampled_from(PATHS) | st.text(max_size=30),
    headers=header_sets,
    body=st.tuples(bodies(), st.binary(max_size=13)).map(b"".join),
)


@given(sent=requests)
@settings(max_examples=1000, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_no_request_is_the_servers_fault(affine_service, sent):
    response = affine_service.answer(sent)
    assert response.status < 500, response.body
    if response.status >= 400:
        sentence = error(response)
        assert sentence.endswith(".")
        assert sentence.isprintable()
