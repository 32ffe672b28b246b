"""Bodies that are too large for Lambda, by way of S3: put there, named by a header, answered as if sent."""

import base64
import gzip
import json
import shutil
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from handlers.inference.fetch import s3
from handlers.inference.fetch.retries import Patience
from handlers.inference.function import Function
from tests.handlers.s3_server import (
    Server,
    give,
    give_another_etag,
    give_longer,
    give_shorter,
    refuse,
    serving,
)

TOKEN = "0123456789abcdef" * 2
PREDICT = "/v1/models/toy:predict"
INFER = "/v2/models/toy/infer"
UPLOADS = "/v2/models/toy/uploads"
ROWS = b'{"inputs": {"a": [[1, 2]], "b": [[3, 4]]}}'
IMPATIENT = Patience(tries=2, read=0.3, start=0.5, slowest=1e8, backoff=0.01)


class Answer(NamedTuple):
    status: int
    body: bytes

    @property
    def json(self) -> dict:
        return json.loads(self.body)


Ask = Callable[..., Answer]


@pytest.fixture(scope="module")
def server(make_bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """S3 with a bundle of y = a + b."""
    bundle = make_bundle("two inputs")
    folder = tmp_path_factory.mktemp("s3")
    shutil.copytree(bundle, folder, dirs_exist_ok=True)
    with serving(folder) as server:
        server.digest = bundle.name
        yield server


@pytest.fixture(scope="module")
def ask(server: Server) -> Ask:
    """Send one request as an event to a function whose bundle is in S3."""
    function = Function(environment(server))
    return lambda *arguments, **headers: send(function, *arguments, **headers)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    monkeypatch.setattr(s3, "Patience", lambda: IMPATIENT)
    server.script.clear()


def environment(server: Server, **more: str) -> dict[str, str]:
    return {
        "COLDPRESS_MODEL": "toy",
        "COLDPRESS_BUCKET": "registry",
        "COLDPRESS_DIGEST": server.digest,
        "AWS_ENDPOINT_URL_S3": server.url,
        "AWS_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_SESSION_TOKEN": "token",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
        **more,
    }


def send(function: Function, path: str, body: bytes = b"", method: str = "POST", **headers: str) -> Answer:
    reply = function.answer(
        {
            "version": "2.0",
            "rawPath": path,
            "headers": {name.replace("_", "-"): value for name, value in headers.items()},
            "requestContext": {"http": {"method": method}},
            "body": base64.b64encode(body).decode(),
            "isBase64Encoded": True,
        },
        "id",
    ).as_dict()
    content = reply["body"]
    return Answer(
        reply["statusCode"], base64.b64decode(content) if reply["isBase64Encoded"] else content.encode()
    )


def upload(ask: Ask, body: bytes) -> str:
    """Put ``body`` where the function says; its key."""
    answer = ask(UPLOADS, json.dumps({"size": len(body)}).encode())
    assert answer.status == 200, answer.body
    put(answer.json["url"], body)
    return answer.json["key"]


def put(url: str, body: bytes) -> None:
    parts = urlsplit(url)
    connection = HTTPConnection(parts.netloc, timeout=60)
    connection.request("PUT", f"{parts.path}?{parts.query}", body)
    assert connection.getresponse().status == 200
    connection.close()


def binary(rows: int) -> tuple[bytes, dict[str, str]]:
    """a and b of so many rows as binary tensors, which ask for the shape of their sum alone."""
    array = np.arange(rows * 2, dtype=np.float32)
    inputs = [
        {
            "name": name,
            "shape": [rows, 2],
            "datatype": "FP32",
            "parameters": {"binary_data_size": array.nbytes},
        }
        for name in ("a", "b")
    ]
    head = json.dumps({"inputs": inputs, "outputs": [{"name": "shape"}]}).encode()
    headers = {"content_type": "application/octet-stream", "inference_header_content_length": str(len(head))}
    return head + array.tobytes() * 2, headers


@pytest.mark.parametrize(
    ("path", "body", "headers"),
    [
        (PREDICT, ROWS, {}),
        (PREDICT, gzip.compress(ROWS), {"content_encoding": "gzip"}),
        (INFER, *binary(3)),
        ("/v2/models/toy/versions/1/infer", *binary(3)),
        (PREDICT, b"no JSON", {}),
    ],
    ids=["JSON", "gzip", "binary", "a version", "an error"],
)
def test_an_uploaded_body_is_answered_as_one_that_is_sent(ask, path, body, headers):
    sent = ask(path, body, **headers)
    assert ask(path, coldpress_upload=upload(ask, body), **headers) == sent
    assert sent.status == (400 if body == b"no JSON" else 200)


def test_what_is_larger_than_any_event_comes_in_parallel_ranges(ask, server):
    body, headers = binary(1_250_000)
    assert len(body) > 20_000_000
    key = upload(ask, body)
    answer = ask(INFER, coldpress_upload=key, **headers)
    assert answer.json["outputs"] == [
        {"name": "shape", "datatype": "INT64", "shape": [2], "data": [1_250_000, 2]}
    ]
    assert server.count(key.rpartition("/")[2]) == 3


def test_an_upload_may_be_named_again(ask):
    key = upload(ask, ROWS)
    assert ask(PREDICT, coldpress_upload=key) == ask(PREDICT, coldpress_upload=key)


def test_what_is_signed(ask, server):
    answer = ask(UPLOADS, b'{"size": 20971520}')
    upload = answer.json
    assert (upload["method"], upload["size"], upload["expires_in"]) == ("PUT", 20971520, 900)
    url = urlsplit(upload["url"])
    assert f"http://{url.netloc}" == server.url
    assert url.path == f"/registry/{upload['key']}"
    assert upload["key"].startswith("uploads/toy/20971520-")
    query = {name: value for name, (value,) in parse_qs(url.query).items()}
    assert query["X-Amz-SignedHeaders"] == "content-length;host"
    assert (query["X-Amz-Expires"], query["X-Amz-Security-Token"]) == ("900", "token")
    assert ask(UPLOADS, b'{"size": 20971520}').json["key"] != upload["key"]


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{}", b"[1]", b"7", b'{"size": 0}', b'{"size": -1}', b'{"size": true}', b'{"size": 1.5}'),
        *(b'{"size": "7"}', b'{"size": null}', b'{"size": 1'),
    ],
)
def test_a_size_that_is_none(ask, body):
    answer = ask(UPLOADS, body)
    assert answer.status == 400
    assert answer.json["error"].startswith("say how many bytes the upload will have")


def test_the_limit_is_a_part_of_the_memory(ask, server):
    limit = 512 * 1024**2 // 8
    assert ask(UPLOADS, b'{"size": %d}' % limit).status == 200
    too_large = ask(UPLOADS, b'{"size": %d}' % (limit + 1))
    assert too_large.status == 413
    assert f"more than the {limit} that this endpoint takes" in too_large.json["error"]
    # A function may have got less memory since.
    assert ask(PREDICT, coldpress_upload=f"uploads/toy/{limit + 1}-{TOKEN}").status == 413


@pytest.mark.parametrize(
    "key",
    [
        *("", "x", "/", "..", "uploads", "uploads/toy", "uploads/toy/", "uploads/toy/7", "uploads/toy/7-"),
        *(f"uploads/other/7-{TOKEN}", f"models/toy/7-{TOKEN}", f"/uploads/toy/7-{TOKEN}"),
        *(f"uploads/toy/../other/7-{TOKEN}", f"uploads/toy/7-{TOKEN}/..", f"uploads/toy/./7-{TOKEN}"),
        *(f"uploads/toy/07-{TOKEN}", f"uploads/toy/-7-{TOKEN}", f"uploads/toy/0-{TOKEN}"),
        *(f"uploads/toy/7-{TOKEN.upper()}", f"uploads/toy/7-{TOKEN}0", f"uploads/toy/7-{TOKEN[1:]}"),
        *(f"uploads/toy/7-{TOKEN[1:]}\n", f"uploads/toy/\N{ARABIC-INDIC DIGIT SEVEN}-{TOKEN}"),
        *(
            f"s3://other/uploads/toy/7-{TOKEN}",
            f"uploads/toy/7-{TOKEN}?versionId=1",
            f"uploads%2Ftoy/7-{TOKEN}",
        ),
    ],
)
def test_keys_that_this_function_did_not_give_are_never_asked_for(ask, server, key):
    asked = len(server.asked)
    answer = ask(PREDICT, coldpress_upload=key)
    assert answer.status == 403
    assert "no key of this model's uploads" in answer.json["error"]
    assert len(server.asked) == asked


@given(key=st.text() | st.text("uploads/toy-.0123456789abcdef", max_size=60).map("uploads/toy/".__add__))
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_no_other_key_is_ever_asked_for(ask, server, key):
    asked = len(server.asked)
    assert ask(PREDICT, coldpress_upload=key).status == 403
    assert len(server.asked) == asked


@pytest.mark.parametrize("step", [None, refuse(403, "AccessDenied"), refuse(404, "NoSuchKey")])
def test_an_upload_that_is_not_there(ask, server, step):
    name = f"7-{TOKEN}"
    if step is not None:
        (server.folder / name).write_bytes(b"1234567")
        server.script[name] = [step]
    answer = ask(PREDICT, coldpress_upload=f"uploads/toy/{name}")
    (server.folder / name).unlink(missing_ok=True)
    assert answer.status == 404
    assert "there is no such upload" in answer.json["error"]


@pytest.mark.parametrize("step", [give_longer, give_shorter])
@pytest.mark.parametrize("rows", [2, 1_100_000], ids=["one range", "several"])
def test_an_upload_of_another_size_than_was_signed(ask, server, step, rows):
    body, headers = binary(rows)
    key = upload(ask, body)
    server.script[key.rpartition("/")[2]] = [step]
    answer = ask(INFER, coldpress_upload=key, **headers)
    assert answer.status == 409
    assert "not what was announced" in answer.json["error"]


def test_an_upload_that_is_replaced_while_it_is_read(ask, server):
    body, headers = binary(1_100_000)
    key = upload(ask, body)
    server.script[key.rpartition("/")[2]] = [give, give_another_etag]
    assert ask(INFER, coldpress_upload=key, **headers).status == 409


@pytest.mark.parametrize("step", [refuse(500, "InternalError"), refuse(403, "ExpiredToken")])
def test_s3_that_cannot_be_read(ask, server, step, capfd):
    key = upload(ask, ROWS)
    server.script[key.rpartition("/")[2]] = [step]
    answer = ask(PREDICT, coldpress_upload=key)
    assert answer.status == 503
    assert "cannot be read now" in answer.json["error"]
    log = capfd.readouterr().err
    assert "an upload could not be read: " in log
    assert "AKIA" not in log


def test_the_description_has_them(server, ask):
    document = json.loads(send(Function(environment(server)), "/openapi.json", method="GET").body)
    schema = document["components"]["schemas"]["Upload"]
    assert set(ask(UPLOADS, b'{"size": 7}').json) == set(schema["required"])
    assert document["paths"][UPLOADS]["post"]["operationId"] == "upload"
    operation = document["paths"][INFER]["post"]
    assert "coldpress-upload" in [parameter["name"] for parameter in operation["parameters"]]
    assert {"403", "404", "409", "413", "503"} <= operation["responses"].keys()
    for path, operations in document["paths"].items():
        for operation in operations.values():
            for response in operation["responses"].values():
                name = response.get("$ref", "").rpartition("/")[2]
                assert not name or name in document["components"]["responses"], path


def test_a_body_and_an_upload(ask):
    answer = ask(PREDICT, ROWS, coldpress_upload=upload(ask, ROWS))
    assert answer.status == 400
    assert "send one of them" in answer.json["error"]


def test_without_a_bucket_there_are_no_uploads(affine_bundle: Path):
    function = Function({"COLDPRESS_BUNDLE_DIR": str(affine_bundle)})
    assert send(function, UPLOADS, b'{"size": 7}').status == 404
    answer = send(function, PREDICT, coldpress_upload=f"uploads/toy/7-{TOKEN}")
    assert answer.status == 404
    assert "it has no bucket: send the body itself" in answer.json["error"]
    assert UPLOADS not in json.loads(send(function, "/openapi.json", method="GET").body)["paths"]
