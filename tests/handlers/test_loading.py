"""From the environment to a model that answers: from S3 (moto's), from a folder, from an image."""

import contextlib
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import msgspec
import numpy as np
import onnx
import pytest
from moto.server import ThreadedMotoServer

from bundle.manifest import FileEntry, decode, digest_of, encode
from handlers.inference.errors import InitError
from handlers.inference.fetch import download as downloading
from handlers.inference.loading import load
from handlers.inference.settings import Settings, from_environment
from handlers.inference.tensor import Tensor
from tests.handlers.s3_server import serving


def environment(folder: Path, endpoint: str) -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": "AKIA",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "eu-central-1",
        "AWS_ENDPOINT_URL_S3": endpoint,
        "COLDPRESS_MODEL": "toy",
        "COLDPRESS_BUCKET": "registry",
        "COLDPRESS_DIGEST": folder.name,
    }


def load_from(environ: dict[str, str]):
    return load(from_environment(environ), environ)


def check_answers(model) -> None:
    x = Tensor("float32", (1, 3), memoryview(np.float32([1, 2, 3]).tobytes()))
    assert np.frombuffer(model.infer({"x": x})["y"].data, np.float32).tolist() == [3, 5, 7]


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(moto: str):
    """The registry's bucket, through boto3."""
    s3 = boto3.resource(
        "s3",
        endpoint_url=moto,
        region_name="eu-central-1",
        aws_access_key_id="AKIA",
        aws_secret_access_key="secret",
    )
    bucket = s3.Bucket("registry")
    with contextlib.suppress(s3.meta.client.exceptions.BucketAlreadyOwnedByYou):
        bucket.create(CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    return bucket


@pytest.mark.parametrize("range_bytes", [300, downloading.RANGE_BYTES])
@pytest.mark.parametrize("serve", ["model.ort", "model.onnx"])
def test_from_s3(bucket, make_bundle, monkeypatch, serve, range_bytes):
    monkeypatch.setattr(downloading, "RANGE_BYTES", range_bytes)
    folder = make_bundle("affine", serve=serve)
    # What a server does not need is not there, so that fetching it would fail.
    for name in ("manifest.json", serve):
        bucket.upload_file(str(folder / name), f"models/toy/{folder.name}/{name}")
    check_answers(load_from(environment(folder, bucket.meta.client.meta.endpoint_url)))


def test_what_is_not_in_the_bucket(moto, bucket, affine_bundle):
    with pytest.raises(InitError, match=r"s3://registry/models/toy/0{64}/manifest.json \(404 NoSuchKey\)"):
        load_from({**environment(affine_bundle, moto), "COLDPRESS_DIGEST": "0" * 64})
    with pytest.raises(InitError, match=r"s3://elsewhere/.*/manifest.json \(404 NoSuchBucket\)"):
        load_from({**environment(affine_bundle, moto), "COLDPRESS_BUCKET": "elsewhere"})


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


def from_image(folder: Path, digest: str = ""):
    environ = {"COLDPRESS_BUNDLE_DIR": str(folder), "COLDPRESS_DIGEST": digest}
    return load_from(environ)


def verify(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "bundle.verify", *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True)


@pytest.fixture
def served(affine_bundle: Path, tmp_path: Path) -> Path:
    """A folder with no more than what is served."""
    for name in ("manifest.json", "model.ort"):
        shutil.copy(affine_bundle / name, tmp_path)
    return tmp_path


@pytest.mark.parametrize("load_it", [from_folder, from_image])
def test_from_a_folder_with_no_more_than_is_served(served, affine_bundle, load_it):
    assert load_it(served, affine_bundle.name).name == "toy"
    check_answers(load_it(served))
    with pytest.raises(InitError, match="was asked for"):
        load_it(served, "0" * 64)
    (served / "model.ort").write_bytes(b"changed")
    with pytest.raises(InitError, match=r"model\.ort is not the file that was written"):
        load_it(served)
    (served / "model.ort").unlink()
    with pytest.raises(InitError, match=r"holds no model\.ort"):
        load_it(served)
    (served / "manifest.json").unlink()
    with pytest.raises(InitError, match=r"is not a bundle: it holds no manifest\.json"):
        load_it(served)


def test_a_changed_byte_in_a_folder_is_refused(served):
    flip(served / "model.ort")
    with pytest.raises(InitError, match=r"model\.ort is not the file that was written"):
        from_folder(served)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def test_an_image_is_verified_when_it_is_built(served, affine_bundle):
    done = verify(served, affine_bundle.name)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{affine_bundle.name}\n", "")
    assert verify(served, "0" * 64).returncode == 1
    flip(served / "model.ort")
    done = verify(served)
    assert (done.returncode, done.stdout) == (1, "")
    assert "model.ort is not the file that was written" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert verify(served / "nowhere").returncode == 1
    assert verify().returncode == 2


def test_other_files_in_an_image_are_verified_too(affine_bundle, tmp_path):
    shutil.copytree(affine_bundle, tmp_path, dirs_exist_ok=True)
    assert verify(tmp_path).returncode == 0
    flip(tmp_path / "golden.npz")
    assert "golden.npz is not the file that was written" in verify(tmp_path).stderr


@pytest.mark.parametrize("load_it", [from_folder, from_image])
def test_a_model_that_onnxruntime_refuses(affine_bundle, tmp_path, load_it):
    reseal(affine_bundle, tmp_path, "model.ort", b"no model")
    with pytest.raises(InitError, match=r"onnxruntime 1\.[\d.]+ cannot load model\.ort"):
        load_it(tmp_path)


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
    with serving(tmp_path) as server:
        environ = environment(tmp_path, server.url)
        environ["COLDPRESS_DIGEST"] = decode((tmp_path / "manifest.json").read_bytes()).digest
        with pytest.raises(InitError, match="keeps tensors in other files"):
            load_from(environ)


def reseal(source: Path, target: Path, name: str, content: bytes) -> None:
    """A bundle whose digests are right although its content is not what `optimize` writes."""
    (target / name).write_bytes(content)
    manifest = decode((source / "manifest.json").read_bytes())
    entry = FileEntry(sha256=hashlib.sha256(content).hexdigest(), size=len(content))
    manifest = msgspec.structs.replace(manifest, files={**manifest.files, name: entry})
    manifest = msgspec.structs.replace(manifest, digest=digest_of(manifest))
    (target / "manifest.json").write_bytes(encode(manifest))


# Each costs a cold start milliseconds.
SLOW = (
    "numpy onnxruntime boto3 msgspec typing dataclasses enum re json pathlib socket ssl http urllib logging"
)
SLOW += " asyncio email hashlib random threading contextlib datetime"


def test_a_cold_start_imports_nothing_slow_keeps_nothing_and_tells_nobody(affine_bundle, served):
    program = (
        f"import sys; sys.path[:0] = {sys.path!r}\n"
        "import os\n"
        "from handlers.inference.loading import load\n"
        "from handlers.inference.settings import from_environment\n"
        "load(from_environment(environ), environ)\n"
        "print(*sys.modules)\n"
        "print(len(os.listdir('/proc/self/task')))\n"  # ONNX Runtime's telemetry has a thread of its own
    )
    scratch = served / "scratch"
    scratch.mkdir()
    with serving(affine_bundle) as server:
        for environ in ({"COLDPRESS_BUNDLE_DIR": str(served)}, environment(affine_bundle, server.url)):
            command = [sys.executable, "-I", "-S", "-c", f"environ = {environ!r}\n{program}"]
            done = subprocess.run(
                command, check=True, capture_output=True, text=True, env={"TMPDIR": str(scratch)}
            )
            modules, threads = done.stdout.splitlines()
            assert not set(SLOW.split()) & set(modules.split())
            assert threads == "1"
            assert list(scratch.iterdir()) == []
