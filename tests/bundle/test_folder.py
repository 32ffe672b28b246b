"""A bundle is written whole or not at all, and every way in which it can be wrong has its sentence."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundle import folder
from bundle.errors import BundleError, DigestMismatch, InvalidBundle, UnknownSchema
from bundle.layout import BUNDLE_FILES, MANIFEST_FILE, MAX_FILE_BYTES, OPTIONAL_FILES
from bundle.manifest import Manifest, decode, digest_of, encode

Make = Callable[..., Path]
Content = tuple[Manifest, dict[str, Path | bytes]]


def test_round_trip_names_the_folder_by_its_digest(make_bundle: Make) -> None:
    path = make_bundle()
    manifest = folder.verify(path)
    assert path.name == manifest.digest
    assert path.parent.name == manifest.name == "double"
    assert sorted(p.name for p in path.iterdir()) == sorted([*BUNDLE_FILES, MANIFEST_FILE])
    assert folder.read(path) == manifest
    assert decode(encode(manifest)) == manifest


def test_equal_content_has_an_equal_address_and_is_left_alone(make_bundle: Make) -> None:
    first = make_bundle()
    inode = (first / "model.onnx").stat().st_ino
    assert make_bundle() == first
    assert (first / "model.onnx").stat().st_ino == inode
    assert [p.name for p in first.parent.iterdir()] == [first.name]
    assert make_bundle(report_html=b"other") != first


def test_what_a_model_came_with_is_a_part_of_its_bundle(make_bundle: Make) -> None:
    plain, path = make_bundle(), make_bundle(tokenizer_json=b"{}", preprocessor_config_json=b"{ }")
    assert path.name != plain.name
    assert set(folder.verify(path).files) == {*BUNDLE_FILES, *OPTIONAL_FILES}
    (path / "tokenizer.json").write_bytes(b"[]")
    with pytest.raises(DigestMismatch, match=r"^tokenizer.json is not the file that was written"):
        folder.verify(path)
    (path / "tokenizer.json").unlink()
    with pytest.raises(InvalidBundle, match=r"^tokenizer.json is missing"):
        folder.verify(path)
    (plain / "tokenizer.json").write_bytes(b"{}")
    with pytest.raises(InvalidBundle, match=r"^tokenizer.json is not in manifest.json"):
        folder.verify(plain)


def test_another_file_is_not_written_into_a_bundle(make_bundle: Make, tmp_path: Path) -> None:
    with pytest.raises(InvalidBundle, match=r"was given .*vocab.txt"):
        make_bundle(vocab_txt=b"a")
    assert not (tmp_path / "built").exists()


@pytest.mark.parametrize("name", sorted(BUNDLE_FILES))
def test_a_changed_byte_is_refused_by_name(make_bundle: Make, name: str) -> None:
    path = make_bundle()
    data = bytearray((path / name).read_bytes())
    data[-1] ^= 1
    (path / name).write_bytes(data)
    with pytest.raises(DigestMismatch, match=f"^{name} is not the file that was written"):
        folder.verify(path)


def test_the_first_wrong_file_is_named(make_bundle: Make) -> None:
    path = make_bundle()
    for name in ("report.html", "golden.npz"):
        (path / name).write_bytes(b"x")
    with pytest.raises(DigestMismatch, match=r"golden\.npz"):
        folder.verify(path)


def test_a_changed_manifest_is_refused(make_bundle: Make) -> None:
    path = make_bundle()
    content = json.loads((path / MANIFEST_FILE).read_text())
    content["class_labels"] = ["cat"]
    (path / MANIFEST_FILE).write_text(json.dumps(content))
    with pytest.raises(DigestMismatch, match=r"manifest.json is not the file that was written"):
        folder.verify(path)


def test_another_bundle_than_the_one_asked_for(make_bundle: Make) -> None:
    with pytest.raises(DigestMismatch, match="was asked for"):
        folder.verify(make_bundle(), "f" * 64)


def test_missing_and_extra_files(make_bundle: Make) -> None:
    path = make_bundle()
    (path / "extra.bin").write_bytes(b"")
    with pytest.raises(InvalidBundle, match=r"the folder holds 'extra.bin'"):
        folder.verify(path)
    (path / "extra.bin").unlink()
    (path / "model.ort").unlink()
    with pytest.raises(InvalidBundle, match=r"the folder holds no model.ort"):
        folder.verify(path)


def test_links_and_folders_are_refused(make_bundle: Make, tmp_path: Path) -> None:
    path = make_bundle()
    copy = tmp_path / "copy.ort"
    (path / "model.ort").rename(copy)
    (path / "model.ort").symlink_to(copy)
    with pytest.raises(InvalidBundle, match=r"model.ort is a link"):
        folder.verify(path)
    (path / "model.ort").unlink()
    (path / "model.ort").mkdir()
    with pytest.raises(InvalidBundle, match=r"model.ort is no regular file"):
        folder.verify(path)


@pytest.mark.parametrize("name", ["../model.ort", "/etc/passwd", "a/b", ".."])
def test_a_path_out_of_the_folder_is_refused(make_bundle: Make, name: str) -> None:
    path = make_bundle()
    manifest = folder.read(path)
    entries = {**manifest.files, name: manifest.files["model.ort"]}
    forged = msgspec.structs.replace(manifest, files=entries)
    forged = msgspec.structs.replace(forged, digest=digest_of(forged))
    (path / MANIFEST_FILE).write_bytes(encode(forged))
    with pytest.raises(InvalidBundle, match="a path out of the bundle's folder"):
        folder.verify(path)


def test_external_tensor_data_is_refused_and_nothing_is_left(
    make_bundle: Make, external_model: bytes, tmp_path: Path
) -> None:
    with pytest.raises(InvalidBundle, match="keeps tensors in other files"):
        make_bundle(model_onnx=external_model)
    assert list((tmp_path / "built" / "double").iterdir()) == []


def test_a_file_over_the_limit_is_refused(make_bundle: Make) -> None:
    path = make_bundle()
    os.truncate(path / "report.html", MAX_FILE_BYTES + 1)  # sparse: it takes no room
    with pytest.raises(InvalidBundle, match=r"report.html has \d+ bytes"):
        folder.verify(path)


def test_unknown_schema_and_unknown_keys(make_bundle: Make) -> None:
    path = make_bundle()
    content = json.loads((path / MANIFEST_FILE).read_text())
    (path / MANIFEST_FILE).write_text(json.dumps(content | {"schema_version": 99}))
    with pytest.raises(UnknownSchema, match="schema version 99"):
        folder.verify(path)
    (path / MANIFEST_FILE).write_text(json.dumps(content | {"colour": "red"}))
    with pytest.raises(InvalidBundle, match="colour"):
        folder.verify(path)


def test_no_bundle_at_all(tmp_path: Path) -> None:
    with pytest.raises(InvalidBundle, match="is not a bundle"):
        folder.verify(tmp_path / "nowhere")
    with pytest.raises(InvalidBundle, match="is not a bundle"):
        folder.verify(tmp_path)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_as_a_manifest_are_refused_in_one_sentence(data: bytes) -> None:
    with pytest.raises(InvalidBundle) as caught:
        decode(data)
    assert "\n" not in str(caught.value)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_damage_to_any_file_is_refused(
    tmp_path_factory: pytest.TempPathFactory, bundle_content: Content, data: st.DataObject
) -> None:
    path = folder.write(tmp_path_factory.mktemp("b"), *bundle_content)
    name = data.draw(st.sampled_from(sorted([*BUNDLE_FILES, MANIFEST_FILE])))
    content = bytearray((path / name).read_bytes())
    index = data.draw(st.integers(0, len(content) - 1))
    content[index] ^= data.draw(st.integers(1, 255))
    (path / name).write_bytes(content)
    with pytest.raises(BundleError):
        folder.verify(path)


def test_a_writer_that_is_killed_leaves_no_bundle(tmp_path: Path) -> None:
    """kill -9 after each file in turn: no folder that reads as a bundle, and the next writer cleans up."""
    here = Path(__file__).parent
    for stop_after in (1, 3, 6):
        program = textwrap.dedent(f"""
            import os, signal, sys
            sys.path.insert(0, {str(here)!r})
            from bundle import folder
            from conftest import MANIFEST, files
            from pathlib import Path
            written, plain = 0, folder._write_file
            def write(path, content):
                global written
                plain(path, content)
                written += 1
                if written == {stop_after}:
                    os.kill(os.getpid(), signal.SIGKILL)
            folder._write_file = write
            folder.write(Path({str(tmp_path)!r}), MANIFEST, files())
        """)
        assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -signal.SIGKILL
        (partial,) = (tmp_path / "double").iterdir()
        with pytest.raises(InvalidBundle):
            folder.verify(partial, "0" * 64)
        assert partial.name.startswith(".")
    program = f"""
import sys; sys.path.insert(0, {str(here)!r})
from bundle import folder; from conftest import MANIFEST, files; from pathlib import Path
print(folder.write(Path({str(tmp_path)!r}), MANIFEST, files()))
"""
    out = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert [p.name for p in (tmp_path / "double").iterdir()] == [Path(out.strip()).name]
