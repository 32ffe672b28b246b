"""`coldpress push` as a command, against a moto server."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.coldpress.registry import Run, client
from tests.handlers.bundles import write_bundle
from tests.handlers.models import affine


def test_push_prints_version_and_digest_and_pins(
    run: Run, pressed: Path, bucket: str, tmp_path: Path
) -> None:
    config = {"app": "x", "context": {"coldpress": {"dev": {"memory_mb": 512}}, "other": [1, 2]}}
    (tmp_path / "cdk.json").write_text(json.dumps(config))
    done = run("push", str(pressed), "--bucket", bucket, "--pin", "dev")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"classifier {pressed.name} is now version 1 in s3://{bucket}" in done.stdout
    model = {"name": "classifier", "version": 1, "digest": pressed.name}
    config["context"]["coldpress"]["dev"]["model"] = model
    assert json.loads((tmp_path / "cdk.json").read_text()) == config
    again = run("push", str(pressed), "--bucket", bucket, "--json")
    assert json.loads(again.stdout) == {**model, "bucket": bucket, "created": False}


def test_a_shadow_is_pinned_beside_what_serves_until_it_serves(
    run: Run, pressed: Path, bucket: str, tmp_path: Path
) -> None:
    def model() -> dict[str, Any]:
        config = json.loads((tmp_path / "cdk.json").read_text())
        found: dict[str, Any] = config["context"]["coldpress"]["dev"]["model"]
        return found

    second = write_bundle(tmp_path, affine(), name="classifier")
    (tmp_path / "cdk.json").write_text(json.dumps({"context": {"coldpress": {"dev": {}}}}))
    options = ["--bucket", bucket, "--pin", "dev"]
    alone = run("push", str(second), *options, "--shadow", "0.05")
    assert (alone.returncode, model_is_there(tmp_path)) == (2, False)
    assert "serves no bundle yet, beside which there could be a shadow" in alone.stderr
    run("push", str(pressed), *options)
    itself = run("push", str(pressed), *options, "--shadow", "0.05")
    assert itself.returncode == 2
    assert "serves this bundle already, as version 1, and it cannot be its own shadow" in itself.stderr
    done = run("push", str(second), *options, "--shadow", "0.05")
    assert "cdk.json: stage dev has it as its shadow; deploy with `cdk deploy`" in done.stdout
    live = {"name": "classifier", "version": 1, "digest": pressed.name}
    assert model() == {**live, "shadow": {"version": 2, "digest": second.name, "share": 0.05}}
    run("push", str(second), *options)
    assert model() == {"name": "classifier", "version": 2, "digest": second.name}


def model_is_there(folder: Path) -> bool:
    return "model" in json.loads((folder / "cdk.json").read_text())["context"]["coldpress"]["dev"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere", "--bucket", "b"], "nowhere is not a bundle"),
        (["BUNDLE", "--bucket", "no-such-bucket"], "there is no bucket 'no-such-bucket'"),
        (["BUNDLE"], "there is no stack 'coldpress-registry'"),
        (["BUNDLE", "--bucket", "BUCKET", "--pin", "dev"], "cdk.json does not exist"),
        (["BUNDLE", "--bucket", "BUCKET", "--shadow", "0.1"], "--shadow needs a stage whose requests"),
    ],
)
def test_wrong_input_is_one_sentence(
    run: Run, pressed: Path, bucket: str, arguments: list[str], sentence: str
) -> None:
    known = {"BUNDLE": str(pressed), "BUCKET": bucket}
    done = run("push", *(known.get(argument, argument) for argument in arguments))
    assert done.returncode == 2
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_an_unknown_stage_pushes_nothing_and_names_the_known(
    run: Run, pressed: Path, bucket: str, tmp_path: Path, aws: dict[str, str]
) -> None:
    (tmp_path / "cdk.json").write_text('{"context": {"coldpress": {"prod": {}}}}')
    done = run("push", str(pressed), "--bucket", bucket, "--pin", "dev")
    assert done.returncode == 2
    assert "has no stage 'dev' in context.coldpress (it has: prod)" in done.stderr
    assert "Contents" not in client(aws).list_objects_v2(Bucket=bucket)


def test_nobody_answers(run: Run, pressed: Path) -> None:
    done = run(
        "push", str(pressed), "--bucket", "b", AWS_ENDPOINT_URL="http://localhost:9", AWS_MAX_ATTEMPTS="1"
    )
    assert done.returncode == 2
    assert "cannot be reached" in done.stderr
    assert done.stderr.count("\n") == 1
