"""`coldpress models prune` against an account in the emulator: what goes, and what stays in any case."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bundle.errors import NotFound
from bundle.folder import file_entry
from bundle.manifest import Source
from bundle.registry import Registry, Stored
from coldpress import retention
from coldpress.main import main
from tests.coldpress.stages import Account
from tests.coldpress.test_models import press


@pytest.fixture
def registry(account: Account, request: pytest.FixtureRequest, tmp_path: Path) -> Registry:
    """Of a versioned bucket, as the stack's is; cdk.json pins nothing."""
    bucket = f"prune-{abs(hash(request.node.name)) % 10**8}"
    s3 = account.client("s3")
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    (tmp_path / "cdk.json").write_text(
        '{"context": {"coldpress": {"dev": {"model": {"name": "classifier"}}}}}'
    )
    return Registry(bucket, s3)


@pytest.fixture
def digests(registry: Registry, tmp_path: Path) -> list[str]:
    """Of versions 1 to 6 of `classifier`, each pressed of another model, which is beside it."""
    found = []
    for number in range(1, 7):
        original = tmp_path / f"original-{number}"
        original.write_text(f"{number} of {registry.bucket}")  # so that no other test deploys its digest
        sha256 = file_entry(original).sha256
        source = Source(file="classifier.onnx", sha256=sha256, size=1, opset=17)
        folder = press(tmp_path, "classifier", number, source=source)
        pushed = registry.push(folder)
        registry.push_original(registry.manifest("classifier", pushed.digest), original)
        found.append(pushed.digest)
    return found


def prune(capsys: pytest.CaptureFixture[str], registry: Registry, tmp_path: Path, *arguments: str) -> Any:
    command = [
        "models",
        "prune",
        "--bucket",
        registry.bucket,
        "--config",
        str(tmp_path / "cdk.json"),
        "--json",
    ]
    status = main([*command, *arguments])
    said = capsys.readouterr()
    assert (status, said.err) == (0, "")
    return json.loads(said.out)


def keys(registry: Registry) -> set[str]:
    return {stored.key for stored in registry.stored("classifier")}


def test_a_dry_run_says_what_would_go_and_why_others_stay(
    account: Account,
    registry: Registry,
    digests: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = keys(registry)
    registry.move_label("classifier", "stable", digests[0], None)
    account.deploy("coldpress-pruned", digests[1], version=2)
    account.deploy(
        "coldpress-pruned", digests[2], version=3
    )  # the version before is retained, for a rollback
    model = {"name": "classifier", "version": 6, "digest": digests[5], "labels": {"old": 4}}
    (tmp_path / "cdk.json").write_text(json.dumps({"context": {"coldpress": {"prod": {"model": model}}}}))
    told = prune(capsys, registry, tmp_path, "--keep-last", "1")
    assert told["deleted"] == []
    assert [one["versions"] for one in told["would_delete"]] == [[5]]
    why = {one["versions"][0]: one["why"] for one in told["kept"]}
    assert why == {
        6: "the newest",
        4: "cdk.json, stage prod",
        3: why[3],
        2: why[2],
        1: "label stable",
    }
    assert why[3].startswith("function coldpress-pruned")
    assert why[2].startswith("function coldpress-pruned")
    assert keys(registry) - before == {"labels/stable"}
    assert before <= keys(registry)


def test_deleting_takes_all_of_a_bundle_and_can_be_undone_in_a_versioned_bucket(
    account: Account,
    registry: Registry,
    digests: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    registry.move_label("classifier", "stable", digests[0], None)
    told = prune(capsys, registry, tmp_path, "--keep-last", "2", "--yes")
    assert sorted(one["versions"][0] for one in told["deleted"]) == [2, 3, 4]
    left = [digests[number] for number in (0, 4, 5)]
    assert set(registry.versions("classifier").values()) == set(left)
    for digest in left:
        registry.fetch("classifier", digest, tmp_path / "fetched")
    gone = digests[1]
    assert not [key for key in keys(registry) if gone in key]
    assert len([key for key in keys(registry) if key.startswith("originals/")]) == 3
    with pytest.raises(NotFound):
        registry.resolve("classifier", "2")
    # The next number is a new one: versions are never given twice.
    assert registry.push(press(tmp_path, "classifier", 9)).version == 7
    # Brought back, as docs/registry.md says: the markers of what was deleted are deleted.
    s3 = account.client("s3")
    for marker in s3.list_object_versions(Bucket=registry.bucket)["DeleteMarkers"]:
        if gone in marker["Key"]:
            s3.delete_object(Bucket=registry.bucket, Key=marker["Key"], VersionId=marker["VersionId"])
    assert registry.fetch("classifier", gone, tmp_path / "fetched").name == gone
    # Pruning again takes what has no version, when it is old enough to be no push that is under way.
    assert prune(capsys, registry, tmp_path, "--keep-last", "9", "--yes")["deleted"] == []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retention, "_PUSH_TAKES_AT_MOST", timedelta(0))
        (again,) = prune(capsys, registry, tmp_path, "--keep-last", "9", "--yes")["deleted"]
    assert (again["digest"], again["versions"]) == (gone, [])


def test_an_original_stays_while_a_bundle_of_it_does(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "original").write_text("the same")
    sha256 = file_entry(tmp_path / "original").sha256
    source = Source(file="classifier.onnx", sha256=sha256, size=1, opset=17)
    for number in (1, 2):
        pushed = registry.push(press(tmp_path, "classifier", number, source=source))
        registry.push_original(registry.manifest("classifier", pushed.digest), tmp_path / "original")
    (gone,) = prune(capsys, registry, tmp_path, "--keep-last", "1", "--yes")["deleted"]
    assert gone["versions"] == [1]
    assert f"originals/{sha256}" in keys(registry)


def test_what_gets_a_label_meanwhile_stays(
    registry: Registry,
    digests: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    delete = Registry.delete

    def label_first(self: Registry, name: str, stored: Stored) -> None:
        """Somebody labels version 1 just before its manifest goes."""
        if stored.key == f"{digests[0]}/manifest.json":
            registry.move_label("classifier", "stable", digests[0], None)
        delete(self, name, stored)

    monkeypatch.setattr(Registry, "delete", label_first)
    told = prune(capsys, registry, tmp_path, "--keep-last", "1", "--yes")
    assert digests[0] not in [one["digest"] for one in told["deleted"]]
    assert "somebody began to use it meanwhile" in [one["why"] for one in told["kept"]]
    assert registry.fetch("classifier", digests[0], tmp_path / "fetched").name == digests[0]


def test_sentences_for_people(
    registry: Registry, digests: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["models", "prune", "classifier", "--keep-last", "5", "--bucket", registry.bucket]
    command += ["--config", str(tmp_path / "cdk.json")]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert f"delete  classifier version 1 ({digests[0][:12]}): " in said
    assert f"keep    classifier version 2 ({digests[1][:12]}): one of the newest 5\n" in said
    assert "Nothing was changed: add --yes." in said
    assert main([*command, "--yes"]) == 0
    said = capsys.readouterr().out
    assert f"deleted classifier version 1 ({digests[0][:12]}): " in said
    assert "still paid for, and can be brought back" in said


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--config", "nowhere/cdk.json"), "what it pins is not known"),
        (("--config", "broken.json"), "what it pins cannot be read"),
        (("--folder", "."), "prune is of the registry alone"),
    ],
)
def test_what_could_not_be_safe_is_refused(
    registry: Registry,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    sentence: str,
) -> None:
    broken = '{"context": {"coldpress": {"dev": {"model": []}}}}'
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        Path("broken.json").write_text(broken)
        assert main(["models", "prune", "--keep-last", "1", "--bucket", registry.bucket, *arguments]) == 2
    assert sentence in capsys.readouterr().err


def test_the_newest_version_always_stays(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["models", "prune", "--keep-last", "0"])
    assert "'0' is no whole number above 0" in capsys.readouterr().err
