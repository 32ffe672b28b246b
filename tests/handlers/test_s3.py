"""A server that is slow, cut, wrong or lying: another try where that helps, else one sentence."""

import hashlib
import random
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from bundle.folder import read
from bundle.manifest import digest_of, encode
from handlers.inference.errors import InitError
from handlers.inference.fetch import download as downloading
from handlers.inference.fetch import s3, tls
from handlers.inference.fetch.credentials import Credentials
from handlers.inference.fetch.download import download
from handlers.inference.fetch.retries import Patience
from handlers.inference.fetch.s3 import Bucket
from handlers.inference.loading import load
from handlers.inference.settings import from_environment
from handlers.inference.tensor import Tensor
from tests.handlers.s3_server import (
    Server,
    give,
    give_all,
    give_another_etag,
    give_another_range,
    give_cut,
    give_flipped,
    give_longer,
    give_more_than_it_says,
    give_no_length,
    give_shorter,
    hang_up,
    refuse,
    say_nothing,
    serving,
    speak_no_http,
    stop_in_the_middle,
    trickle,
    trickle_the_head,
)

SECRETS = {
    "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "secret/key",
    "AWS_SESSION_TOKEN": "token==",
}
IMPATIENT = Patience(tries=3, read=0.3, start=0.5, slowest=1e8, backoff=0.01)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same behaviour in a hundredth of the time."""
    monkeypatch.setattr(s3, "Patience", lambda: IMPATIENT)


@pytest.fixture
def server(affine_bundle: Path) -> Iterator[Server]:
    with serving(affine_bundle) as server:
        yield server


def load_from(url: str, folder: Path, **changes: str):
    environ = {
        **SECRETS,
        "AWS_REGION": "eu-central-1",
        "AWS_ENDPOINT_URL_S3": url,
        "COLDPRESS_MODEL": "toy",
        "COLDPRESS_BUCKET": "registry",
        "COLDPRESS_DIGEST": folder.name,
        **changes,
    }
    return load(from_environment(environ), environ)


def check_answers(model) -> None:
    x = Tensor("float32", (1, 3), memoryview(np.float32([0, 1, 2]).tobytes()))
    assert np.frombuffer(model.infer({"x": x})["y"].data, np.float32).tolist() == [1, 3, 5]


def refusal(url: str, folder: Path, **changes: str) -> str:
    with pytest.raises(InitError) as caught:
        load_from(url, folder, **changes)
    sentence = str(caught.value)
    assert not any(secret in sentence for secret in [*SECRETS.values(), "AKIA secret"])
    assert "\n" not in sentence
    return sentence


PASSING = [
    give_cut,
    give_no_length,
    hang_up,
    say_nothing,
    speak_no_http,
    stop_in_the_middle,
    trickle,
    trickle_the_head,
    refuse(503, "SlowDown"),
    refuse(500, "InternalError"),
]


@pytest.mark.parametrize("step", PASSING, ids=lambda step: step.__name__)
@pytest.mark.parametrize("name", ["manifest.json", "model.ort"])
def test_what_may_pass_is_tried_again(server, affine_bundle, name, step):
    server.script[name] = [step, give]
    check_answers(load_from(server.url, affine_bundle))
    assert server.count(name) == 2


@pytest.mark.parametrize("step", [*PASSING, give_all, give_another_range], ids=lambda step: step.__name__)
def test_any_range_is_tried_again(server, affine_bundle, monkeypatch, step):
    monkeypatch.setattr(downloading, "RANGE_BYTES", 300)
    size = (affine_bundle / "model.ort").stat().st_size
    server.script["model.ort"] = [give, step, give]
    check_answers(load_from(server.url, affine_bundle))
    assert server.count("model.ort") == -(-size // 300) + 1


def test_a_body_longer_than_it_says_is_tried_again(server, affine_bundle):
    server.script["manifest.json"] = [give_more_than_it_says, give]
    check_answers(load_from(server.url, affine_bundle))
    assert server.count("manifest.json") == 2


def test_a_cut_answer_is_resumed_where_it_ended(server, affine_bundle):
    size = (affine_bundle / "model.ort").stat().st_size
    server.script["model.ort"] = [give_cut, give]
    check_answers(load_from(server.url, affine_bundle))
    _, headers = server.asked[-1]
    assert headers["range"] == f"bytes={size // 2}-{size - 1}"
    assert headers["if-match"]


@pytest.mark.parametrize(
    ("step", "tries", "cause"),
    [
        (give_cut, 3, r"the connection ended after \d+ of \d+ bytes"),
        (give_no_length, 3, "does not say how long it is"),
        (hang_up, 3, "the connection ended before an answer came|reset by peer"),
        (say_nothing, 3, "timed out"),
        (stop_in_the_middle, 3, "timed out"),
        (trickle, 3, "too slow"),
        (trickle_the_head, 3, "too slow"),
        (speak_no_http, 3, "is not HTTP"),
        (refuse(503, "SlowDown"), 3, "503 SlowDown"),
        (refuse(500, "InternalError"), 3, "500 InternalError"),
        (refuse(403, "AccessDenied"), 1, r"\(403 AccessDenied\): allow the function's role"),
        (refuse(403, "SignatureDoesNotMatch"), 1, "credentials have expired or are wrong"),
        (refuse(403, "RequestTimeTooSkewed"), 1, "clock"),
        (refuse(400, "ExpiredToken"), 1, r"\(400 ExpiredToken\): its credentials have expired"),
        (refuse(404, "NoSuchKey"), 1, r"\(404 NoSuchKey\): push the bundle"),
        (refuse(404, "<script>"), 1, r"\(404\): push the bundle"),
        (refuse(301, "PermanentRedirect"), 1, r"\(301 PermanentRedirect\): set the region"),
        (refuse(301, "PermanentRedirect", x_amz_bucket_region="eu-west-1"), 1, r"\(eu-west-1\)"),
        (refuse(418, "Teapot"), 1, r"\(418 Teapot\): check the endpoint"),
        (give_flipped, 1, "is not the file that was pushed"),
        (give_longer, 1, "is not the file that was pushed"),
        (give_shorter, 1, "is not the file that was pushed"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_what_does_not_pass_is_one_sentence_with_cause_and_key(server, affine_bundle, step, tries, cause):
    server.script["model.ort"] = [step]
    sentence = refusal(server.url, affine_bundle)
    assert f"s3://registry/models/toy/{affine_bundle.name}/model.ort" in sentence
    assert re.search(cause, sentence)
    assert server.count("model.ort") == tries


@pytest.mark.parametrize(
    "step",
    [
        give_another_etag,
        give_flipped,
        give_longer,
        give_shorter,
        refuse(412, "PreconditionFailed"),
        refuse(416, "InvalidRange"),
    ],
    ids=lambda step: step.__name__,
)
def test_a_lie_about_any_range_is_never_run(server, affine_bundle, monkeypatch, step):
    monkeypatch.setattr(downloading, "RANGE_BYTES", 300)
    server.script["model.ort"] = [give, step]
    sentence = refusal(server.url, affine_bundle)
    assert re.search(r"s3://registry/.*/model\.ort is not the file that was pushed", sentence)


def test_a_refused_range_ends_it_all(server, affine_bundle, monkeypatch):
    monkeypatch.setattr(downloading, "RANGE_BYTES", 300)
    server.script["model.ort"] = [give, refuse(403, "AccessDenied")]
    assert "403 AccessDenied" in refusal(server.url, affine_bundle)


@pytest.mark.parametrize("step", [give_flipped, give_longer, give_shorter], ids=lambda step: step.__name__)
def test_another_manifest_is_refused_before_the_model_is_asked_for(server, affine_bundle, step):
    server.script["manifest.json"] = [step]
    assert re.search(r"s3://registry/.*/manifest\.json is refused: ", refusal(server.url, affine_bundle))
    assert server.count("model.ort") == 0


def test_a_manifest_without_end_is_not_read(server, affine_bundle):
    def give_too_much(handler, _data):
        handler.head(bytes(5 * 1024**2), length=5 * 1024**2)
        say_nothing(handler, _data)

    server.script["manifest.json"] = [give_too_much]
    assert "manifest.json has more than 4194304 bytes" in refusal(server.url, affine_bundle)


@pytest.mark.parametrize("is_consistent", [False, True])
def test_a_manifest_of_another_digest_is_refused(server, affine_bundle, tmp_path, is_consistent):
    copy = tmp_path / "copy"
    shutil.copytree(affine_bundle, copy)
    manifest = msgspec.structs.replace(read(copy), class_labels=["another"])
    if is_consistent:
        manifest = msgspec.structs.replace(manifest, digest=digest_of(manifest))
    (copy / "manifest.json").write_bytes(encode(manifest))
    server.folder = copy
    sentence = refusal(server.url, affine_bundle)
    assert ("was asked for" if is_consistent else "manifest.json is not the file") in sentence
    assert server.count("model.ort") == 0


def test_one_connection_carries_manifest_and_model(server, affine_bundle):
    check_answers(load_from(server.url, affine_bundle))
    assert server.connections == 1


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Server, bytes]]:
    """A server of a file of six ranges, each larger than a read."""
    monkeypatch.setattr(downloading, "RANGE_BYTES", 1024**2)
    content = random.Random(0).randbytes(5 * 1024**2 + 12345)
    (tmp_path / "large").write_bytes(content)
    with serving(tmp_path) as server:
        yield server, content


def bucket_at(url: str) -> Bucket:
    credentials = Credentials("AKIAEXAMPLE", "secret/key", "token==", "eu-central-1")
    return Bucket.from_environment("b", credentials, {"AWS_ENDPOINT_URL": url})


def test_a_large_object_comes_in_ranges_over_few_connections(large):
    server, content = large
    server.script["large"] = [give, give, give_cut, hang_up, give]
    bucket = bucket_at(server.url)
    data = download(bucket, "large", len(content), hashlib.sha256(content).hexdigest())
    assert data == content
    bucket.close()
    ranges = [headers["range"] for _, headers in server.asked]
    assert len(set(ranges)) in (7, 8)  # six, what the cut one lacked, and one that may have been cut twice
    assert server.connections <= downloading.CONNECTIONS + 2


def test_an_empty_object(tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    with serving(tmp_path) as server:
        assert not download(bucket_at(server.url), "empty", 0, hashlib.sha256(b"").hexdigest())


def test_nobody_listens(affine_bundle):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    sentence = refusal(f"http://127.0.0.1:{port}", affine_bundle)
    assert (
        "/manifest.json could not be read in 3 tries (the last: [Errno 111] Connection refused)" in sentence
    )


def test_no_such_host(affine_bundle):
    sentence = refusal("http://nowhere.invalid", affine_bundle)
    assert re.search(r"/manifest\.json could not be read in 3 tries \(the last: \[Errno -\d+\] ", sentence)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for ``localhost`` that signs itself, and its key, in one file."""
    folder = tmp_path_factory.mktemp("tls")
    path = folder / "both.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2"]
    command += ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run(command, check=True, capture_output=True)
    path.write_bytes((folder / "key.pem").read_bytes() + (folder / "cert.pem").read_bytes())
    return path


@pytest.fixture
def secured(server: Server, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setattr(tls, "_context", None)  # whom the process trusted in another test
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    return server


def test_over_tls(secured, affine_bundle, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setattr(downloading, "RANGE_BYTES", 300)
    secured.script["model.ort"] = [give, give_cut, hang_up, give]
    check_answers(load_from(f"https://localhost:{secured.server_port}", affine_bundle))


def test_certificates_are_found_in_the_systems_folder(
    secured, affine_bundle, certificate, monkeypatch, tmp_path
):
    command = ["openssl", "x509", "-hash", "-noout", "-in", str(certificate)]
    name = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    (tmp_path / f"{name}.0").write_bytes(certificate.read_bytes())
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    monkeypatch.setattr(tls._ssl, "get_default_verify_paths", lambda: ("", "", "", str(tmp_path)))
    check_answers(load_from(f"https://localhost:{secured.server_port}", affine_bundle))


def test_a_certificate_that_nobody_trusts(secured, affine_bundle):
    sentence = refusal(f"https://localhost:{secured.server_port}", affine_bundle)
    assert "/manifest.json could not be read: the certificate of localhost is not trusted (self" in sentence
    assert secured.asked == []


def test_a_certificate_of_another_host(secured, affine_bundle, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    sentence = refusal(f"https://127.0.0.1:{secured.server_port}", affine_bundle)
    assert "the certificate of 127.0.0.1 is not trusted (IP address mismatch" in sentence


def test_a_server_without_tls(server, affine_bundle):
    sentence = refusal(f"https://localhost:{server.server_port}", affine_bundle)
    assert "/manifest.json could not be read in 3 tries" in sentence


@pytest.mark.parametrize(
    ("bucket", "region", "environ", "url"),
    [
        ("b", "eu-west-1", {}, "https://b.s3.eu-west-1.amazonaws.com"),
        ("b.c", "eu-west-1", {}, "https://s3.eu-west-1.amazonaws.com/b.c"),
        ("b", "cn-north-1", {}, "https://b.s3.cn-north-1.amazonaws.com.cn"),
        ("b", "x", {"AWS_ENDPOINT_URL": "http://localhost:5000/"}, "http://localhost:5000/b"),
        ("b", "x", {"AWS_ENDPOINT_URL": "http://a", "AWS_ENDPOINT_URL_S3": "http://s3/p"}, "http://s3/p/b"),
        ("b", "x", {"AWS_ENDPOINT_URL": "HTTPS://[::1]:4566"}, "https://[::1]:4566/b"),
    ],
)
def test_where_a_bucket_is(bucket, region, environ, url):
    found = Bucket.from_environment(bucket, Credentials("a", "b", None, region), environ)
    assert f"{found.endpoint.scheme}://{found.endpoint.host}{found.prefix}" == url


@pytest.mark.parametrize(
    "url",
    [
        "localhost:5000",
        "ftp://a",
        "http://",
        "http://a:b",
        "http://user:password@a",
        "http://a/\r\nx: y",
        "http://a b",
        "http://ü",
    ],
)
def test_an_endpoint_that_is_no_url(url):
    with pytest.raises(InitError, match=r"^AWS_ENDPOINT_URL is no") as caught:
        Bucket.from_environment("b", Credentials("a", "b", None, "x"), {"AWS_ENDPOINT_URL": url})
    assert "password" not in str(caught.value)


@pytest.mark.parametrize(("bucket", "region"), [("b/c", "x"), ("b", "x\r\ny: z"), ("b@c", "x")])
def test_names_that_would_lead_elsewhere(bucket, region):
    with pytest.raises(InitError, match=r"COLDPRESS_BUCKET|AWS_REGION"):
        Bucket.from_environment(bucket, Credentials("a", "b", None, region), {})
