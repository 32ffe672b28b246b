"""`coldpress pull` and handles as commands, against a moto server."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bundle.folder import read, verify
from bundle.registry import Registry
from emulator.server import Emulator
from tests.coldpress.registry import Run, client
from tests.coldpress.test_serve import invoke, serving
from tests.handlers.bundles import write_bundle
from tests.handlers.models import affine

BIN = Path(sys.executable).parent


@pytest.fixture
def pushed(aws: dict[str, str], bucket: str, tmp_path: Path) -> list[str]:
    """The digests of versions 1 and 2 of `affine`; the label `stable` is on the first."""
    digests = []
    for number in (1, 2):
        folder = write_bundle(tmp_path, affine(), name="affine", labels=[f"v{number}", "b", "c", "d"])
        Registry(bucket, client(aws)).push(folder)
        digests.append(folder.name)
    return digests


def label(aws: dict[str, str], bucket: str, name: str, digest: str) -> None:
    client(aws).put_object(Bucket=bucket, Key=f"models/affine/labels/{name}", Body=digest.encode())


def test_names_versions_labels_and_digests_are_pulled_once(
    run: Run, aws: dict[str, str], bucket: str, pushed: list[str], tmp_path: Path
) -> None:
    label(aws, bucket, "stable", pushed[0])
    cache = tmp_path / "cache" / "bundles" / "affine"
    for name, digest in {
        "affine": pushed[1],
        "affine:1": pushed[0],
        "affine@stable": pushed[0],
        f"affine@{pushed[0]}": pushed[0],
        f"s3://{bucket}/models/affine/2": pushed[1],
    }.items():
        done = run("pull", name, COLDPRESS_BUCKET=bucket)
        assert (done.returncode, done.stdout, done.stderr) == (0, f"{cache / digest}\n", "")
        assert verify(cache / digest).digest == digest
    told = json.loads(run("pull", "affine:1", "--bucket", bucket, "--json").stdout)
    assert told == {
        "name": "affine",
        "digest": pushed[0],
        "folder": str(cache / pushed[0]),
        "was_there": True,
    }
    # A digest that is there needs no network.
    away = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    assert run("pull", f"affine@{pushed[0]}", COLDPRESS_BUCKET=bucket, **away).returncode == 0


def test_without_a_variable_the_stack_says_which_bucket(run: Run, tmp_path: Path) -> None:
    template = {
        "Resources": {"Bucket": {"Type": "AWS::S3::Bucket"}},
        "Outputs": {"BucketName": {"Value": {"Ref": "Bucket"}}},
    }
    with Emulator(state_dir=tmp_path / "emulator") as emulator:
        aws = emulator.environment()
        cloudformation = client(aws, "cloudformation")
        cloudformation.create_stack(StackName="coldpress-registry", TemplateBody=json.dumps(template))
        (stack,) = cloudformation.describe_stacks()["Stacks"]
        folder = write_bundle(tmp_path, affine(), name="affine")
        Registry(stack["Outputs"][0]["OutputValue"], client(aws)).push(folder)
        assert run("pull", "affine", **aws).stdout.strip().endswith(folder.name)


def test_what_was_spoiled_is_fetched_again(run: Run, bucket: str, pushed: list[str]) -> None:
    folder = Path(run("pull", "affine", "--bucket", bucket).stdout.strip())
    (folder / "model.onnx").write_bytes(b"other bytes")
    (folder / "report.html").unlink()
    again = json.loads(run("pull", "affine", "--bucket", bucket, "--json").stdout)
    assert (again["was_there"], again["folder"]) == (False, str(folder))
    assert verify(folder).digest == pushed[1]


def test_what_the_registry_has_lost_or_mixed_up_is_said_and_leaves_nothing(
    run: Run, aws: dict[str, str], bucket: str, pushed: list[str], tmp_path: Path
) -> None:
    key = f"models/affine/{pushed[1]}/model.onnx"
    for spoil, sentence in (
        (lambda: client(aws).put_object(Bucket=bucket, Key=key, Body=b"another model"), "is not the file"),
        (lambda: client(aws).delete_object(Bucket=bucket, Key=key), "does not exist: push the bundle"),
    ):
        spoil()
        done = run("pull", "affine", "--bucket", bucket)
        assert done.returncode == 2
        assert sentence in done.stderr
        assert done.stderr.count("\n") == 1
        assert [path.name for path in (tmp_path / "cache" / "bundles" / "affine").iterdir()] == [".lock"]


def test_several_pulls_at_once_and_a_killed_one_leave_one_whole_bundle(
    aws: dict[str, str], bucket: str, pushed: list[str], tmp_path: Path
) -> None:
    home = tmp_path / "cache" / "bundles" / "affine"
    abandoned = home / ".partial-4194304-0"  # larger than any process id: its pull was killed
    abandoned.mkdir(parents=True)
    (abandoned / "model.onnx").write_bytes(b"half")
    (home / pushed[1]).mkdir()  # as if somebody had copied half a bundle there
    shutil.copy(abandoned / "model.onnx", home / pushed[1])
    environment = {**os.environ, **aws, "COLDPRESS_CACHE": str(tmp_path / "cache")}
    command = [str(BIN / "coldpress"), "pull", "affine", "--bucket", bucket]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as first:
        others = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) for _ in range(2)]
        for process in (first, *others):
            out, _ = process.communicate(timeout=60)
            assert (process.returncode, out.decode().strip()) == (0, str(home / pushed[1]))
    assert sorted(path.name for path in home.iterdir()) == [".lock", pushed[1]]
    assert verify(home / pushed[1]).digest == pushed[1]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_pull_that_is_stopped_halfway_leaves_no_bundle_and_the_next_one_does_not_wait(
    run: Run, aws: dict[str, str], bucket: str, pushed: list[str], how: signal.Signals
) -> None:
    folder = Path(run("pull", "affine", "--bucket", bucket).stdout.strip())
    home = folder.parent
    shutil.rmtree(folder)
    with subprocess.Popen(
        [sys.executable, "-c", _STOPS_HALFWAY, "pull", "affine", "--bucket", bucket],
        env={**os.environ, **aws, "COLDPRESS_CACHE": str(home.parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as stopped:
        assert stopped.stdout is not None
        assert stopped.stdout.readline() == "halfway\n"
        stopped.send_signal(how)
        _, said = stopped.communicate(timeout=60)
    if how == signal.SIGINT:
        assert (stopped.returncode, said) == (130, "coldpress pull: stopped.\n")
        assert [path.name for path in home.iterdir()] == [".lock"]
    assert not folder.exists()
    again = run("pull", "affine", "--bucket", bucket)
    assert (again.returncode, again.stdout, again.stderr) == (0, f"{folder}\n", "")
    assert sorted(path.name for path in home.iterdir()) == [".lock", folder.name]


# The command itself, which tells when it has half of a bundle and then waits for ever.
_STOPS_HALFWAY = """
import sys, threading
from coldpress import main, progress
from contextlib import contextmanager
import coldpress.cache

@contextmanager
def transfer(what, size):
    def done(name, count):
        if name == "golden.npz":
            print("halfway", flush=True)
            threading.Event().wait()
    yield done

coldpress.cache.transfer = transfer
sys.exit(main.main())
"""


def test_commands_take_handles(
    run: Run, aws: dict[str, str], bucket: str, pressed: Path, tmp_path: Path
) -> None:
    run("push", str(pressed), "--bucket", bucket)
    cost = ("--rps", "1", "--json")
    local = run("cost", str(pressed), *cost)
    assert local.returncode == 0, local.stderr
    assert run("cost", "hub://classifier", "--bucket", bucket, *cost).stdout == local.stdout
    size = run("size", f"s3://{bucket}/classifier/1", "--memory", "1769", "--requests", "2", "--json")
    assert json.loads(size.stdout)["recommended"]["memory_mb"] == 1769
    # From one registry into another one, and pinned.
    client(aws).create_bucket(Bucket=f"{bucket}-2")
    (tmp_path / "cdk.json").write_text('{"context": {"coldpress": {"dev": {}}}}')
    done = run("push", "hub://classifier", "--bucket", f"{bucket}-2", "--pin", "dev", COLDPRESS_BUCKET=bucket)
    assert f"is now version 1 in s3://{bucket}-2" in done.stdout
    assert pressed.name in (tmp_path / "cdk.json").read_text()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**aws, "COLDPRESS_CACHE": str(tmp_path / "cache")}.items():
            patch.setenv(name, value)
        with serving("hub://classifier:1", "--bucket", bucket, "--workers", "1") as (_, url):
            assert json.loads(invoke(url).stdout)["name"] == "classifier"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("pull", "nothing"), "has no version of a model 'nothing'"),
        (("pull", "affine:7"), "has no version 7"),
        (("pull", "affine@gone"), "has no label 'gone'"),
        (("pull", f"affine@{'0' * 64}"), "does not exist: push the bundle first"),
        (("pull", "../affine"), "is not hub://NAME, hub://NAME:VERSION"),
        (("pull", "Affine"), "cannot name a model"),
        (("pull", "hub://"), "is not hub://NAME, hub://NAME:VERSION"),
        (("pull", "hub://a:1:2"), "is not hub://NAME, hub://NAME:VERSION"),
        (("cost", "s3://only", "--rps", "1"), "is not s3://BUCKET/NAME/REFERENCE"),
    ],
)
def test_wrong_handles_are_one_sentence(
    run: Run, bucket: str, pushed: list[str], arguments: tuple[str, ...], sentence: str
) -> None:
    done = run(*arguments, COLDPRESS_BUCKET=bucket)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_cache_that_cannot_be_written_is_said(
    run: Run, bucket: str, pushed: list[str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    done = run("pull", "affine", "--bucket", bucket, COLDPRESS_CACHE=str(tmp_path / "file"))
    assert done.returncode == 2
    assert "cannot be written (Not a directory)" in done.stderr
    assert "another folder with COLDPRESS_CACHE" in done.stderr


def test_a_bundle_in_the_registry_is_pressed_again_from_its_original_or_else_from_what_it_holds(
    run: Run, aws: dict[str, str], bucket: str, pressed: Path, tmp_path: Path
) -> None:
    data = pressed.parents[2]
    environment = {**os.environ, **aws, "COLDPRESS_CACHE": str(tmp_path / "cache")}
    options = ["--max-drop", "0.05", "--time-budget", "0", "--out", str(tmp_path / "again"), "--json"]
    options += ["--calibration", str(data / "calibration.npz"), "--evaluation", str(data / "evaluation.npz")]
    options += ["--measurements", str(tmp_path / "measured"), "--bucket", bucket]

    def optimize(handle: str) -> dict[str, Any]:
        done = run("optimize", handle, *options)
        assert (done.returncode, done.stderr) == (0, "")
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    assert run("push", str(pressed), "--bucket", bucket).returncode == 0
    again = optimize("hub://classifier")
    manifest = read(Path(again["bundle"]))
    assert again["is_pressed_again"]
    assert (manifest.name, manifest.source.file) == ("classifier", "model.onnx")
    assert manifest.source.sha256 == read(pressed).files["model.onnx"].sha256
    original = data / "classifier.onnx"
    assert run("push", str(pressed), "--bucket", bucket, "--original", str(original)).returncode == 0
    anew = optimize("hub://classifier:1")
    assert not anew["is_pressed_again"]
    assert read(Path(anew["bundle"])).source == read(pressed).source
    words = [word for word in options if word != "--json"]
    told = subprocess.run(
        [str(BIN / "optimize"), "hub://classifier", *words],
        check=True,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert f"the original that classifier {pressed.name[:12]} was pressed of" in told.stdout
