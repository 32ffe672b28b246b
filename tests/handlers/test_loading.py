"""From S3 (moto's), from a server that misbehaves, and from a folder: all verified, or one sentence."""

import contextlib
import hashlib
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import msgspec
import numpy as np
import onnx
import pytest
from moto.server import ThreadedMotoServer

from bundle.folder import read
from bundle.manifest import FileEntry, decode, digest_of, encode
from handlers.inference import loading
from handlers.inference.errors import InitError
from handlers.inference.fetch.s3 import Bucket, Patience
from handlers.inference.fetch.sigv4 import Credentials
from handlers.inference.loading import load
from handlers.inference.settings import Settings, from_environment

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "eu-central-1"}
IMPATIENT = Patience(tries=3, read=0.3, start=0.5, slowest=1e8, backoff=0.01)


def environment(folder: Path, endpoint: str) -> dict[str, str]:
    return {
        **CREDENTIALS,
        "AWS_ENDPOINT_URL_S3": endpoint,
        "COLDPRESS_MODEL": "toy",
        "COLDPRESS_BUCKET": "registry",
        "COLDPRESS_DIGEST": folder.name,
    }


def load_from(environ: dict[str, str], scratch: Path):
    return load(from_environment(environ), environ, scratch)


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.mark.parametrize("serve", ["model.ort", "model.onnx"])
def test_from_s3(moto, make_bundle, tmp_path, serve):
    folder = make_bundle("affine", serve=serve)
    s3 = boto3.client(
        "s3",
        endpoint_url=moto,
        region_name="eu-central-1",
        aws_access_key_id="AKIA",
        aws_secret_access_key="secret",
    )
    with contextlib.suppress(s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(Bucket="registry", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    # What a server does not need is not there, so that fetching it would fail.
    for name in ("manifest.json", serve):
        s3.upload_file(str(folder / name), "registry", f"models/toy/{folder.name}/{name}")
    model = load_from(environment(folder, moto), tmp_path)
    np.testing.assert_array_equal(model.infer({"x": np.float32([[1, 2, 3]])})["y"], [[3, 5, 7]])
    kept = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert kept == [serve]

    with pytest.raises(InitError, match=r"s3://registry/models/toy/0{64}/manifest.json \(404 NoSuchKey\)"):
        load_from({**environment(folder, moto), "COLDPRESS_DIGEST": "0" * 64}, tmp_path)


class Misbehaving(ThreadingHTTPServer):
    """Serves a folder's files as ``models/toy/<digest>/<name>``, after what ``script`` does for that file."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.script: dict[str, list[Callable[[_Handler, bytes], None]]] = {}
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Misbehaving

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2]
        self.server.asked.append(name)
        data = (self.server.folder / name).read_bytes()
        steps = self.server.script.get(name, [])
        (steps.pop(0) if len(steps) > 1 else steps[0] if steps else give)(self, data)

    def log_message(self, *_: object) -> None:
        pass


def give(handler: _Handler, data: bytes) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data)


def give_cut(handler: _Handler, data: bytes) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data[: len(data) // 2])


def give_flipped(handler: _Handler, data: bytes) -> None:
    give(handler, data[:-1] + bytes([data[-1] ^ 1]))


def give_longer(handler: _Handler, data: bytes) -> None:
    give(handler, data + b"x")


def give_shorter(handler: _Handler, data: bytes) -> None:
    give(handler, data[:-1])


def say_nothing(handler: _Handler, _data: bytes) -> None:
    with contextlib.suppress(OSError):
        handler.connection.recv(1)  # returns when the client has gone


def trickle(handler: _Handler, data: bytes) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    with contextlib.suppress(OSError):
        for byte in data:
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()
            time.sleep(0.05)


def hang_up(handler: _Handler, _data: bytes) -> None:
    handler.connection.shutdown(socket.SHUT_RDWR)


def refuse(status: int, code: str) -> Callable[[_Handler, bytes], None]:
    def step(handler: _Handler, _data: bytes) -> None:
        body = f"<Error><Code>{code}</Code><Message>AKIA secret</Message></Error>".encode()
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return step


@pytest.fixture
def server(affine_bundle: Path) -> Iterator[Misbehaving]:
    with Misbehaving(affine_bundle) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same behaviour in a hundredth of the time."""
    original = Bucket.from_environment

    def from_environment_impatiently(name, credentials, environ, patience=None):
        return original(name, credentials, environ, patience or IMPATIENT)

    monkeypatch.setattr(loading.Bucket, "from_environment", from_environment_impatiently)


@pytest.mark.parametrize(
    "step", [give_cut, hang_up, say_nothing, trickle, refuse(503, "SlowDown"), refuse(500, "InternalError")]
)
@pytest.mark.parametrize("name", ["manifest.json", "model.ort"])
def test_what_may_pass_is_tried_again(server, affine_bundle, tmp_path, name, step):
    server.script[name] = [step, give]
    model = load_from(environment(affine_bundle, server.url), tmp_path)
    np.testing.assert_array_equal(model.infer({"x": np.float32([[0, 0, 0]])})["y"], [[1, 1, 1]])
    assert server.asked.count(name) == 2


@pytest.mark.parametrize(
    ("step", "outcome"),
    [
        (give_cut, (3, r"the connection ended after \d+ of \d+ bytes")),
        (hang_up, (3, "closed connection without response|reset by peer")),
        (say_nothing, (3, "timed out")),
        (trickle, (3, "too slow")),
        (refuse(503, "SlowDown"), (3, "503 SlowDown")),
        (refuse(403, "AccessDenied"), (1, r"\(403 AccessDenied\): allow the function's role")),
        (refuse(404, "NoSuchKey"), (1, r"\(404 NoSuchKey\): push the bundle")),
        (refuse(301, "PermanentRedirect"), (1, r"\(301 PermanentRedirect\): set the region")),
        (give_flipped, (1, "is not the file that was pushed")),
        (give_longer, (1, "is not the file that was pushed")),
        (give_shorter, (1, "is not the file that was pushed")),
    ],
)
def test_what_does_not_pass_is_one_sentence_with_cause_and_key(
    server, affine_bundle, tmp_path, step, outcome
):
    tries, cause = outcome
    server.script["model.ort"] = [step]
    with pytest.raises(InitError, match=cause) as caught:
        load_from(environment(affine_bundle, server.url), tmp_path)
    assert f"s3://registry/models/toy/{affine_bundle.name}/model.ort" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert server.asked.count("model.ort") == tries
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_changed_manifest_is_refused(server, affine_bundle, tmp_path):
    server.folder = changed(affine_bundle, tmp_path)
    with pytest.raises(
        InitError, match=r"s3://registry/.*/manifest\.json is refused: manifest\.json is not the"
    ):
        load_from(environment(affine_bundle, server.url), tmp_path)
    assert "model.ort" not in server.asked


def test_a_flipped_byte_in_the_manifest_is_refused(server, affine_bundle, tmp_path):
    server.script["manifest.json"] = [give_flipped]
    with pytest.raises(InitError, match=r"s3://registry/.*/manifest\.json is refused: "):
        load_from(environment(affine_bundle, server.url), tmp_path)
    assert "model.ort" not in server.asked


def changed(folder: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    manifest = msgspec.structs.replace(read(folder), class_labels=["another"])
    (copy / "manifest.json").write_bytes(encode(manifest))
    return copy


def test_a_consistent_manifest_of_another_digest_is_refused(server, affine_bundle, tmp_path):
    copy = changed(affine_bundle, tmp_path)
    manifest = read(copy)
    manifest = msgspec.structs.replace(manifest, digest=digest_of(manifest))
    (copy / "manifest.json").write_bytes(encode(manifest))
    server.folder = copy
    with pytest.raises(InitError, match="was asked for"):
        load_from(environment(affine_bundle, server.url), tmp_path)


def test_a_second_init_uses_the_file_of_the_first_if_it_is_whole(server, affine_bundle, tmp_path):
    environ = environment(affine_bundle, server.url)
    load_from(environ, tmp_path)
    load_from(environ, tmp_path)
    assert server.asked.count("model.ort") == 1
    (kept,) = tmp_path.rglob("model.ort")
    kept.write_bytes(b"half")
    load_from(environ, tmp_path)
    assert server.asked.count("model.ort") == 2
    assert kept.read_bytes() == (affine_bundle / "model.ort").read_bytes()


@pytest.mark.parametrize(
    ("bucket", "region", "environ", "url"),
    [
        ("b", "eu-west-1", {}, "https://b.s3.eu-west-1.amazonaws.com"),
        ("b.c", "eu-west-1", {}, "https://s3.eu-west-1.amazonaws.com/b.c"),
        ("b", "cn-north-1", {}, "https://b.s3.cn-north-1.amazonaws.com.cn"),
        ("b", "x", {"AWS_ENDPOINT_URL": "http://localhost:5000/"}, "http://localhost:5000/b"),
        ("b", "x", {"AWS_ENDPOINT_URL": "http://a", "AWS_ENDPOINT_URL_S3": "http://s3/p"}, "http://s3/p/b"),
    ],
)
def test_where_a_bucket_is(bucket, region, environ, url):
    found = Bucket.from_environment(bucket, Credentials("a", "b", None, region), environ)
    assert f"{found.scheme}://{found.host}{found.prefix}" == url


def test_an_endpoint_that_is_no_url():
    with pytest.raises(InitError, match="AWS_ENDPOINT_URL"):
        Bucket.from_environment("b", Credentials("a", "b", None, "x"), {"AWS_ENDPOINT_URL": "localhost:5000"})


@pytest.mark.parametrize("missing", ["COLDPRESS_BUCKET", "COLDPRESS_MODEL", "COLDPRESS_DIGEST"])
def test_a_missing_variable_is_named(affine_bundle, missing):
    environ = {n: v for n, v in environment(affine_bundle, "http://x").items() if n != missing}
    with pytest.raises(InitError, match=f"has no {missing}"):
        from_environment(environ)


def test_threads_follow_the_memory(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    threads = [
        from_environment({"COLDPRESS_BUNDLE_DIR": "/b", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": memory}).threads
        for memory in ("512", "1769", "3537", "3538", "10240", "")
    ]
    assert threads == [1, 1, 1, 2, 4, 1]


def from_folder(folder: Path, digest: str | None = None):
    settings = Settings(model=None, version="1", digest=digest, bucket=None, folder=folder, threads=1)
    return load(settings, {})


def test_from_a_folder_with_no_more_than_is_served(affine_bundle, tmp_path):
    for name in ("manifest.json", "model.ort"):
        shutil.copy(affine_bundle / name, tmp_path)
    assert from_folder(tmp_path, affine_bundle.name).name == "toy"
    with pytest.raises(InitError, match="was asked for"):
        from_folder(tmp_path, "0" * 64)
    (tmp_path / "model.ort").write_bytes(b"changed")
    with pytest.raises(InitError, match=r"model\.ort is not the file that was written"):
        from_folder(tmp_path)
    (tmp_path / "model.ort").unlink()
    with pytest.raises(InitError, match=r"holds no model\.ort"):
        from_folder(tmp_path)


def test_a_model_that_onnxruntime_refuses(affine_bundle, tmp_path):
    reseal(affine_bundle, tmp_path, "model.ort", b"no model")
    with pytest.raises(InitError, match=r"onnxruntime 1\.[\d.]+ cannot load model\.ort"):
        from_folder(tmp_path)


def test_a_manifest_that_names_another_models_tensors(make_bundle, affine_bundle, tmp_path):
    other = make_bundle("two inputs")
    reseal(affine_bundle, tmp_path, "model.ort", (other / "model.ort").read_bytes())
    with pytest.raises(InitError, match="the manifest names the inputs 'x', but the model has a, b"):
        from_folder(tmp_path)


def test_tensors_in_other_files_are_refused(make_bundle, tmp_path):
    folder = make_bundle("affine", serve="model.onnx")
    model = onnx.load(folder / "model.onnx")
    for tensor in model.graph.initializer:
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="../secret")
    reseal(folder, tmp_path, "model.onnx", model.SerializeToString())
    with pytest.raises(InitError, match="keeps tensors in other files"):
        from_folder(tmp_path)


def reseal(source: Path, target: Path, name: str, content: bytes) -> None:
    """A bundle whose digests are right although its content is not what `optimize` writes."""
    (target / name).write_bytes(content)
    manifest = decode((source / "manifest.json").read_bytes())
    entry = FileEntry(sha256=hashlib.sha256(content).hexdigest(), size=len(content))
    manifest = msgspec.structs.replace(manifest, files={**manifest.files, name: entry})
    manifest = msgspec.structs.replace(manifest, digest=digest_of(manifest))
    (target / "manifest.json").write_bytes(encode(manifest))
