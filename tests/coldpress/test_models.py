"""`coldpress models` as a command, against a moto server and on a folder."""

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from bundle.manifest import AppliedPass, Figures, Metric, Source
from bundle.registry import Registry
from tests.coldpress.registry import Run, client
from tests.handlers.bundles import write_bundle
from tests.handlers.models import affine
from tests.handlers.monitor.test_page import Checked

NASTY = "<script>alert('&')</script>"


def press(folder: Path, name: str, number: int, **told: Any) -> Path:
    """A bundle whose figures tell of which version it is to become."""
    said = {
        "source": Source(file=f"{name}.onnx", sha256=f"{number:064x}", size=10_900_000, opset=17),
        "passes": [AppliedPass(name="quantize", parameters={"weights": "int8", "layers": 42})],
        "metric": Metric(
            name="agreement",
            before=1.0,
            after=1 - number / 100,
            drop=number / 100,
            interval=(0.001, 0.02),
            bound=0.05,
            samples=600,
        ),
        "before": Figures(size_bytes=10_900_000, latency_ms=24.0, cold_start_ms=90.0),
        "after": Figures(size_bytes=3_000_000, latency_ms=24.0 / (number + 1), cold_start_ms=100.0),
        "tools": {"onnxruntime": "1.32.0"},
    }
    return write_bundle(folder, affine(), name=name, **(said | told))


@pytest.fixture
def digests(aws: dict[str, str], bucket: str, tmp_path: Path) -> list[str]:
    """Two versions of `ocr`, the first with the label `stable`, and one of `other`."""
    registry = Registry(bucket, client(aws))
    folders = [press(tmp_path, "ocr", 1), press(tmp_path, "ocr", 2), press(tmp_path, "other", 3)]
    for folder in folders:
        registry.push(folder)
    registry.move_label("ocr", "stable", folders[0].name, None)
    return [folder.name for folder in folders]


def test_all_models_are_listed(run: Run, bucket: str, digests: list[str]) -> None:
    for arguments in (("models",), ("models", "list")):
        done = run(*arguments, "--bucket", bucket)
        assert (done.returncode, done.stderr) == (0, "")
        head, ocr, other = done.stdout.splitlines()
        assert head.split()[:4] == ["MODEL", "BUNDLES", "NEWEST", "LABELS"]
        assert ocr.split()[:4] == ["ocr", "2", "2", "stable=1"]
        assert "agreement 1.0000 -> 0.9800  24.0 ms -> 8.00 ms  10.90 MB -> 3.00 MB" in ocr
        assert other.split()[:4] == ["other", "1", "1", "-"]


def test_a_model_is_shown_with_its_lineage(run: Run, bucket: str, digests: list[str]) -> None:
    done = run("models", "--bucket", bucket, "show", "ocr")
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[2][:4] == ["2", "-", digests[1][:12], "x86_64"]
    assert lines[3][:4] == ["1", "stable", digests[0][:12], "x86_64"]
    one = run("models", "show", "ocr@stable", "--bucket", bucket).stdout
    way = one.partition("\n\n")[2]
    assert way.splitlines() == [
        f"  ocr.onnx, 10.90 MB, opset 17, sha256 {1:064x} (not in the registry)",
        "    quantize: layers 42, weights int8",
        "    agreement 1.0000 -> 0.9900: drop 0.0100 [0.0010, 0.0200] of 0.05 allowed, 600 unseen samples",
        "    by onnxruntime 1.32.0",
        f"  -> version 1 (stable), model.ort for x86_64, digest {digests[0]}",
    ]


def test_json_has_all_of_the_manifest(run: Run, bucket: str, digests: list[str]) -> None:
    ocr, other = json.loads(run("models", "--bucket", bucket, "--json").stdout)
    assert (ocr["name"], other["name"]) == ("ocr", "other")
    newest, first = ocr["bundles"]
    assert (newest["versions"], newest["labels"], newest["digest"]) == ([2], [], digests[1])
    assert (first["versions"], first["labels"], first["digest"]) == ([1], ["stable"], digests[0])
    assert datetime.fromisoformat(first["written"]).tzinfo
    assert first["manifest"]["source"]["file"] == "ocr.onnx"
    assert first["problem"] is None


def test_what_is_broken_is_said_and_hides_nothing(
    run: Run, aws: dict[str, str], bucket: str, digests: list[str]
) -> None:
    s3 = client(aws)
    s3.put_object(Bucket=bucket, Key="models/ocr/labels/lost", Body=b"0" * 64)
    s3.put_object(Bucket=bucket, Key=f"models/ocr/{'1' * 64}/golden.npz", Body=b"a push that was killed")
    s3.put_object(Bucket=bucket, Key=f"models/ocr/{digests[0]}/manifest.json", Body=b'{"schema_version": 9}')
    done = run("models", "show", "ocr", "--bucket", bucket)
    assert done.returncode == 0
    assert f"ocr {digests[0][:12]} (version 1 (stable)): manifest.json has schema version 9" in done.stdout
    assert (
        "ocr 000000000000 (a bundle without a version (lost)): the registry holds no manifest" in done.stdout
    )
    assert "ocr 111111111111 (a bundle without a version): the registry holds no manifest" in done.stdout
    assert digests[1] in done.stdout


def test_a_folder_is_listed_without_aws(run: Run, tmp_path: Path) -> None:
    (tmp_path / "build").mkdir()
    digest = press(tmp_path / "build", "ocr", 1).name
    away = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    assert run("models", "--folder", "build", **away).stdout.splitlines()[1].split()[:2] == ["ocr", "1"]
    assert digest in run("models", "show", f"ocr@{digest}", "--folder", "build", **away).stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("show", "nothing"), "has no model 'nothing': it has ocr, other."),
        (("show", "ocr:7"), "ocr has no version, label or digest '7'"),
        (("--folder", "/dev"), "holds no bundle: name the folder"),
        (("list", "--html", "no/such/folder.html"), "No such file or directory"),
    ],
)
def test_wrong_input_is_one_sentence(
    run: Run, bucket: str, digests: list[str], arguments: tuple[str, ...], sentence: str
) -> None:
    done = run("models", *arguments, "--bucket", bucket)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_empty_registry_is_no_error(run: Run, bucket: str) -> None:
    assert run("models", "--bucket", bucket).stdout == "no models: push a bundle with `coldpress push`\n"
    assert json.loads(run("models", "--bucket", bucket, "--json").stdout) == []


def test_the_page_escapes_what_manifests_say_and_fetches_nothing(
    run: Run, aws: dict[str, str], bucket: str, digests: list[str], tmp_path: Path
) -> None:
    source = Source(file=NASTY, sha256="0" * 64, size=1, opset=17)
    steps = [AppliedPass(name=NASTY, parameters={NASTY: NASTY})]
    nasty = press(tmp_path, "nasty", 4, source=source, passes=steps, tools={NASTY: NASTY})
    Registry(bucket, client(aws)).push(nasty)
    assert run("models", "--bucket", bucket, "--html", "page.html").stdout == "page.html\n"
    text = (tmp_path / "page.html").read_text()
    assert "<script" not in text
    assert text.count("&lt;script&gt;") == 6
    assert not re.search(r"(src|href)=\"(?!#)|url\(|@import|https?:", text)
    assert "3 models, 4 bundles" in text
    assert all(digest in text for digest in digests)


def test_the_page_is_well_formed_and_can_be_read_aloud_and_on_a_phone(
    run: Run, bucket: str, digests: list[str], tmp_path: Path
) -> None:
    run("models", "--bucket", bucket, "--html", "page.html")
    text = (tmp_path / "page.html").read_text()
    checked = Checked(text)
    assert ("html", {"lang": "en"}) in checked.seen
    for tag, attributes in checked.seen:
        if tag == "svg":
            assert attributes["aria-hidden"] == "true"  # the figures stand beside it
        if tag == "th":
            assert attributes.get("scope") in ("row", "col")
        if tag in ("table", "tr", "td", "thead", "tbody"):
            assert attributes.get("role")
    assert "prefers-color-scheme: dark" in text
    assert "max-width: 700px" in text
    assert 'name="viewport"' in text


def test_a_bundle_that_was_pressed_of_another_ones_model_names_it(
    run: Run, aws: dict[str, str], bucket: str, digests: list[str], tmp_path: Path
) -> None:
    registry = Registry(bucket, client(aws))
    model = registry.manifest("ocr", digests[1]).files["model.onnx"]
    source = Source(file="model.onnx", sha256=model.sha256, size=model.size, opset=17)
    # The small model is the same in every bundle here; only this one says that it was pressed of it.
    registry.push(press(tmp_path, "ocr", 3, source=source))
    shown = run("models", "show", "ocr:3", "--bucket", bucket).stdout
    assert re.search(
        rf"model\.onnx, .* \(the pressed model of ({digests[0][:12]}|{digests[1][:12]})\)", shown
    )
