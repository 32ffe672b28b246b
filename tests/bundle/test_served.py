"""The reader that servers use reads what the contract's own writes, and refuses what that refuses."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundle import folder, manifest
from bundle.errors import BundleError, DigestMismatch, InvalidBundle
from bundle.layout import BUNDLE_FILES, MANIFEST_FILE, check_address, check_listing
from bundle.manifest import FileEntry, Manifest, Signature, TensorSpec, digest_of, encode
from bundle.served import read_manifest

Make = Callable[..., Path]
Content = tuple[Manifest, dict[str, Path | bytes]]

# Half a surrogate pair is no text that a manifest could hold.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
axes = st.integers(-(2**63), 2**63 - 1) | texts
specs = st.lists(st.builds(TensorSpec, name=texts, dtype=texts, shape=st.lists(axes, max_size=4)), max_size=3)
entries = st.builds(
    FileEntry, sha256=st.text("0123456789abcdef", min_size=64, max_size=64), size=st.integers(0, 2**31)
)


@st.composite
def manifests(draw: st.DrawFn, base: Manifest) -> Manifest:
    """Any manifest that ``bundle.folder.write`` could write."""
    filled = msgspec.structs.replace(
        base,
        name=draw(st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)),
        serve=draw(st.sampled_from(["model.ort", "model.onnx"])),
        target=draw(st.sampled_from(["x86_64", "x86_64-vnni", "arm64"])),
        signature=Signature(inputs=draw(specs), outputs=draw(specs)),
        class_labels=draw(st.lists(texts, max_size=3)),
        tools=draw(st.dictionaries(texts, texts, max_size=3)),
        files={name: draw(entries) for name in BUNDLE_FILES},
    )
    return msgspec.structs.replace(filled, digest=digest_of(filled))


def contracts_reader(data: bytes) -> Manifest:
    read = manifest.decode(data)
    check_listing(read.files)
    check_address(read.digest, digest_of(read), None)
    return read


@settings(max_examples=200, deadline=None, derandomize=True)
@given(data=st.data())
def test_what_is_written_is_read_alike(bundle_content: Content, data: st.DataObject) -> None:
    written = data.draw(manifests(bundle_content[0]))
    read = read_manifest(encode(written), written.digest)
    for field in ("name", "serve", "target", "class_labels", "tools", "digest"):
        assert getattr(read, field) == getattr(written, field)
    for side in ("inputs", "outputs"):
        ours, theirs = getattr(read.signature, side), getattr(written.signature, side)
        assert [(s.name, s.dtype, s.shape) for s in ours] == [(s.name, s.dtype, s.shape) for s in theirs]
    assert {n: (e.sha256, e.size) for n, e in read.files.items()} == {
        n: (e.sha256, e.size) for n, e in written.files.items()
    }


@pytest.fixture
def written(make_bundle: Make) -> bytes:
    return (make_bundle() / MANIFEST_FILE).read_bytes()


def test_any_single_changed_byte_is_refused(written: bytes) -> None:
    read_manifest(written)
    for index in range(len(written)):
        for flip in (1, 32):
            changed = bytearray(written)
            changed[index] ^= flip
            with pytest.raises(BundleError):
                read_manifest(bytes(changed))


@pytest.mark.parametrize(
    "respell", [bytes.strip, lambda data: data.replace(b"  ", b" "), lambda d: d + b"\n"]
)
def test_another_form_of_the_same_content_is_refused(written: bytes, respell: Callable) -> None:
    with pytest.raises(DigestMismatch, match=r"manifest\.json is not the file that was written"):
        read_manifest(respell(written))


def test_another_bundle_than_the_one_asked_for(written: bytes) -> None:
    with pytest.raises(DigestMismatch, match="was asked for"):
        read_manifest(written, "f" * 64)


ANYTHING = [None, True, 7, 0.5, "text", [], {}, [7], {"text": 7}]
PLACES = [
    *[(field.name,) for field in msgspec.structs.fields(Manifest)],
    ("signature", "inputs"),
    ("signature", "inputs", 0),
    ("signature", "outputs", 0, "name"),
    ("signature", "outputs", 0, "dtype"),
    ("signature", "outputs", 0, "shape"),
    ("signature", "outputs", 0, "shape", 0),
    ("tools", "onnxruntime"),
    ("files", "model.ort"),
    ("files", "model.ort", "sha256"),
    ("files", "model.ort", "size"),
]


def refusal(read: Callable[[bytes], object], content: object) -> str:
    with pytest.raises(BundleError) as caught:
        read(json.dumps(content, indent=2, sort_keys=True).encode() + b"\n")
    return f"{type(caught.value).__name__}: {caught.value}"


@pytest.mark.parametrize("place", PLACES, ids=lambda place: ".".join(map(str, place)))
def test_wrong_and_missing_fields_get_the_contracts_sentence(written: bytes, place: tuple) -> None:
    for change in ["remove", "add", *ANYTHING]:
        content = json.loads(written)
        holder = content
        for step in place[:-1]:
            holder = holder[step]
        if change == "remove":
            del holder[place[-1]]
        elif change == "add" and isinstance(holder, dict):
            holder["colour"] = "red"
        else:
            holder[place[-1]] = change
        if content == json.loads(written):
            continue
        ours, theirs = refusal(read_manifest, content), refusal(contracts_reader, content)
        # Fields that no server uses are refused by the address; patterns are told in words.
        by_address = "is not the file that was written" in ours + theirs
        if not by_address and "matching regex" not in theirs and "can name a model" not in ours:
            assert ours == theirs


@pytest.mark.parametrize("name", ["../model.ort", "/etc/passwd", "a/b", "..", "extra.bin"])
def test_file_names_that_are_no_bundles(make_bundle: Make, name: str) -> None:
    honest = folder.read(make_bundle())
    forged = msgspec.structs.replace(honest, files={**honest.files, name: honest.files["model.ort"]})
    forged = msgspec.structs.replace(forged, digest=digest_of(forged))
    with pytest.raises(InvalidBundle, match=r"a path out of the bundle's folder|lists 'extra.bin'"):
        read_manifest(encode(forged))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.binary(max_size=300))
def test_any_bytes_are_refused_in_one_sentence(data: bytes) -> None:
    with pytest.raises(InvalidBundle) as caught:
        read_manifest(data)
    assert "\n" not in str(caught.value)


def test_it_imports_nothing_slow() -> None:
    program = f"import sys; sys.path[:0] = {sys.path!r}; import bundle.served; print(*sys.modules)"
    command = [sys.executable, "-I", "-S", "-c", program]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert not {"msgspec", "re", "json", "pathlib", "typing", "hashlib", "numpy"} & set(out.split())
