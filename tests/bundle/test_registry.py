"""The registry against moto's server: conditional puts, versions, labels, races and damage."""

import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from bundle.errors import BundleError, DigestMismatch, InvalidBundle, LabelMoved, NotFound, RegistryError
from bundle.folder import verify
from bundle.registry import Registry

Make = Callable[..., Path]
BUCKET = "models-of-coldpress"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    server.stop()


def connect(endpoint: str, bucket: str = BUCKET) -> Registry:
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    return Registry(bucket, client)


@pytest.fixture
def registry(endpoint: str) -> Iterator[Registry]:
    registry = connect(endpoint)
    registry._client.create_bucket(Bucket=BUCKET)
    yield registry
    for key in keys(registry):
        registry._client.delete_object(Bucket=BUCKET, Key=key)
    registry._client.delete_bucket(Bucket=BUCKET)


def keys(registry: Registry) -> list[str]:
    answer = registry._client.list_objects_v2(Bucket=BUCKET)
    return [entry["Key"] for entry in answer.get("Contents", [])]


def test_push_and_fetch(registry: Registry, make_bundle: Make, tmp_path: Path) -> None:
    path, seen = make_bundle(), []
    pushed = registry.push(path, lambda name, _size: seen.append(name))
    assert (pushed.version, pushed.created, pushed.digest) == (1, True, path.name)
    assert seen[-1] == "manifest.json"  # whoever sees a manifest sees a whole bundle
    fetched = registry.fetch("double", path.name, tmp_path / "fetched")
    assert verify(fetched) == verify(path)
    assert registry.resolve("double", "1") == registry.resolve("double", path.name) == path.name


def test_what_a_model_came_with_goes_along(registry: Registry, make_bundle: Make, tmp_path: Path) -> None:
    path = make_bundle(tokenizer_json=b'{"version": "1.0"}', preprocessor_config_json=b"{}")
    registry.push(path)
    assert f"models/double/{path.name}/tokenizer.json" in keys(registry)
    fetched = registry.fetch("double", path.name, tmp_path / "fetched")
    assert (fetched / "tokenizer.json").read_bytes() == b'{"version": "1.0"}'
    assert (fetched / "preprocessor_config.json").read_bytes() == b"{}"
    assert verify(fetched) == verify(path)


def test_pushing_again_gives_the_same_version(registry: Registry, make_bundle: Make) -> None:
    first, other = make_bundle(), make_bundle(report_html=b"other")
    assert registry.push(first).version == 1
    assert registry.push(other).version == 2
    assert registry.push(first) == (*registry.push(first)[:2], 1, False)
    assert registry.versions("double") == {1: first.name, 2: other.name}


def _push(endpoint: str, path: Path, gate: threading.Barrier) -> tuple[int, bool]:
    registry = connect(endpoint)
    gate.wait(60)
    pushed = registry.push(path)
    return pushed.version, pushed.created


@pytest.mark.parametrize("same", [False, True])
def test_racing_pushes_never_share_a_number(
    registry: Registry, endpoint: str, make_bundle: Make, same: bool
) -> None:
    paths = [make_bundle(report_html=b"r" if same else b"r%d" % index) for index in range(4)]
    gate = threading.Barrier(4)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda path: _push(endpoint, path, gate), paths))
    versions = registry.versions("double")
    assert sorted(versions) == ([1] if same else [1, 2, 3, 4])
    assert sum(created for _version, created in results) == len(versions)
    for path, (version, _created) in zip(paths, results, strict=True):
        assert versions[version] == path.name


def test_a_push_killed_at_any_point_leaves_no_version_without_a_bundle(
    registry: Registry, endpoint: str, make_bundle: Make, tmp_path: Path
) -> None:
    path = make_bundle()
    for stop_before in range(1, 8):  # six files, then the version
        program = textwrap.dedent(f"""
            import os, signal, sys
            sys.path.insert(0, {str(Path(__file__).parent)!r})
            from pathlib import Path
            from test_registry import connect
            registry = connect({endpoint!r})
            puts, plain = 0, registry._put
            def put(*arguments):
                global puts
                puts += 1
                if puts == {stop_before}:
                    os.kill(os.getpid(), signal.SIGKILL)
                return plain(*arguments)
            registry._put = put
            registry.push(Path({str(path)!r}))
        """)
        assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -signal.SIGKILL
        assert registry.versions("double") == {}
        if stop_before < 7:
            with pytest.raises(NotFound):
                registry.fetch("double", path.name, tmp_path / "half")
            assert not list((tmp_path / "half").glob("double/*"))
    assert registry.push(path).version == 1


def test_an_object_with_other_content_is_never_overwritten(registry: Registry, make_bundle: Make) -> None:
    path = make_bundle()
    key = f"models/double/{path.name}/model.onnx"
    registry._client.put_object(Bucket=BUCKET, Key=key, Body=b"something else")
    with pytest.raises(RegistryError, match="has other content"):
        registry.push(path)
    assert registry.versions("double") == {}


def test_damage_in_the_bucket_is_refused(registry: Registry, make_bundle: Make, tmp_path: Path) -> None:
    path = make_bundle()
    registry.push(path)
    key = f"models/double/{path.name}/model.ort"
    registry._client.put_object(Bucket=BUCKET, Key=key, Body=b"X" * 32)
    with pytest.raises(DigestMismatch, match=r"model\.ort"):
        registry.fetch("double", path.name, tmp_path / "fetched")
    assert list((tmp_path / "fetched" / "double").iterdir()) == []


def test_labels_move_by_compare_and_swap(registry: Registry, make_bundle: Make) -> None:
    first, second = make_bundle(), make_bundle(report_html=b"2")
    registry.push(first)
    registry.push(second)
    assert registry.label("double", "prod") is None
    label = registry.move_label("double", "prod", first.name, None)
    assert registry.resolve("double", "prod") == first.name
    with pytest.raises(LabelMoved):
        registry.move_label("double", "prod", second.name, None)
    moved = registry.move_label("double", "prod", second.name, label)
    with pytest.raises(LabelMoved, match="moved by somebody else"):
        registry.move_label("double", "prod", first.name, label)
    assert registry.label("double", "prod") == moved


def test_a_label_needs_a_bundle(registry: Registry) -> None:
    with pytest.raises(NotFound, match="push the bundle first"):
        registry.move_label("double", "prod", "a" * 64, None)


def test_what_is_not_there_is_named(registry: Registry, endpoint: str, make_bundle: Make) -> None:
    with pytest.raises(NotFound, match="has no version 7"):
        registry.resolve("double", "7")
    with pytest.raises(NotFound, match="has no label 'prod'"):
        registry.resolve("double", "prod")
    with pytest.raises(NotFound, match="there is no bucket 'absent'"):
        connect(endpoint, "absent").push(make_bundle())


def test_nobody_answers(make_bundle: Make) -> None:
    with pytest.raises(RegistryError, match="S3 cannot be reached"):
        connect("http://127.0.0.1:9").push(make_bundle())


@pytest.mark.parametrize("name", ["../x", "A", "a/b", "", "-a", "a" * 64])
def test_bad_names_are_refused_before_any_call(registry: Registry, name: str) -> None:
    with pytest.raises(InvalidBundle, match="cannot name a model"):
        registry.versions(name)


def test_a_folder_that_is_no_bundle_pushes_nothing(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(BundleError):
        registry.push(tmp_path)
    assert keys(registry) == []


def test_an_object_is_deleted_only_as_it_was_listed(registry: Registry, make_bundle: Make) -> None:
    pushed = registry.push(make_bundle())
    label = registry.move_label("double", "stable", pushed.digest, None)
    (listed,) = [stored for stored in registry.stored("double") if stored.key == "labels/stable"]
    other = registry.push(make_bundle(report_html=b"another")).digest
    registry.move_label("double", "stable", other, label)
    with pytest.raises(RegistryError, match="was changed by somebody else meanwhile"):
        registry.delete("double", listed)
    assert registry.label("double", "stable").digest == other
    (listed,) = [stored for stored in registry.stored("double") if stored.key == "labels/stable"]
    registry.delete("double", listed)
    registry.delete("double", listed)  # somebody else was quicker: that is no error
    assert registry.label("double", "stable") is None


def test_names_and_the_newest_version(registry: Registry, make_bundle: Make) -> None:
    assert registry.names() == []
    with pytest.raises(NotFound, match="has no version of a model 'double'"):
        registry.newest("double")
    registry.push(make_bundle())
    newest = registry.push(make_bundle(report_html=b"another")).digest
    assert (registry.names(), registry.newest("double")) == (["double"], newest)
