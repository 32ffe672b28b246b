"""A bundle as a folder: written whole or not at all, read only when every byte is as it was written."""

import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from bundle.digests import measure
from bundle.errors import DigestMismatch, InvalidBundle
from bundle.external_data import has_external_data
from bundle.files import manifest_bytes, open_regular
from bundle.layout import (
    BUNDLE_FILES,
    MANIFEST_FILE,
    MAX_FILE_BYTES,
    OPTIONAL_FILES,
    check_address,
    check_listing,
    check_names,
)
from bundle.manifest import FileEntry, Manifest, check_name, decode, digest_of, encode

_PARTIAL = ".partial-"


def write(parent: Path, manifest: Manifest, files: Mapping[str, Path | bytes]) -> Path:
    """Write a bundle to ``<parent>/<name>/<digest>/`` and return that folder.

    ``files`` gives for each name in ``BUNDLE_FILES``, and any in ``OPTIONAL_FILES``, a file to copy or the
    bytes themselves; the manifest's ``files`` and ``digest`` are filled in. All is written under a temporary
    name that no reader takes for a bundle, checked, and renamed; if the same bundle is there already, it is
    left as it is.

    Raises:
        InvalidBundle: the files are not a bundle's, or one is too large or keeps tensors outside itself.
        OSError: the disk is full, or the folder cannot be written.
    """
    if set(files).difference(OPTIONAL_FILES) != set(BUNDLE_FILES):
        raise InvalidBundle(
            f"a bundle holds {', '.join(BUNDLE_FILES)}, but was given {', '.join(sorted(files))}."
        )
    with partial_folder(parent, manifest.name) as partial:
        for name, content in files.items():
            _write_file(partial / name, content)
        entries = {name: file_entry(partial / name) for name in sorted(files)}
        filled = msgspec.structs.replace(manifest, files=entries)
        filled = msgspec.structs.replace(filled, digest=digest_of(filled))
        _write_file(partial / MANIFEST_FILE, encode(filled))
        return place(partial, filled.digest)


@contextmanager
def partial_folder(parent: Path, name: str) -> Iterator[Path]:
    """A new folder in ``<parent>/<name>/`` that no reader takes for a bundle, removed at the end."""
    home = parent / check_name(name)
    home.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(home)
    partial = home / f"{_PARTIAL}{os.getpid()}-{secrets.token_hex(4)}"
    partial.mkdir()
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def place(partial: Path, digest: str) -> Path:
    """Check a finished partial folder and give it its name, unless that bundle is there already."""
    verify(partial, digest)
    folder = partial.parent / digest
    try:
        partial.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
        verify(folder, digest)
    return folder


def read(folder: Path) -> Manifest:
    """The manifest of the bundle in ``folder``, with nothing else looked at.

    Raises:
        InvalidBundle: there is no manifest, or it is not one that this release reads.
    """
    return decode(manifest_bytes(folder))


def verify(folder: Path, digest: str | None = None) -> Manifest:
    """Check the whole bundle in ``folder`` and return its manifest; ``digest`` is the address asked for.

    Raises:
        UnknownSchema: the manifest is of another schema version.
        DigestMismatch: the first file (in the order of names) whose bytes are not those that were written.
        InvalidBundle: anything else, the first that is wrong.
    """
    manifest = read(folder)
    check_listing(manifest.files)
    _check_folder(folder, manifest)
    check_address(manifest.digest, digest_of(manifest), digest)
    for name in sorted(manifest.files):
        if file_entry(folder / name) != manifest.files[name]:
            raise DigestMismatch(
                f"{name} is not the file that was written (size or sha256 differs): fetch the bundle again."
            )
    if has_external_data(folder / "model.onnx"):
        raise InvalidBundle(
            "model.onnx keeps tensors in other files, which a bundle never follows: save the model with "
            "all of its data inside."
        )
    return manifest


def file_entry(path: Path) -> FileEntry:
    """What a manifest says of the regular file at ``path``."""
    sha256, size = measure(path)
    return FileEntry(sha256=sha256, size=size)


def _check_folder(folder: Path, manifest: Manifest) -> None:
    for path in sorted(folder.iterdir()):
        open_regular(path).close()
    found = {path.name for path in folder.iterdir()} - {MANIFEST_FILE}
    check_names(found, "the folder holds")
    for name in sorted(found.symmetric_difference(manifest.files)):
        what = "is missing" if name in manifest.files else f"is not in {MANIFEST_FILE}"
        raise InvalidBundle(f"{name} {what}: fetch the bundle again.")
    for name, entry in sorted(manifest.files.items()):
        size = (folder / name).stat().st_size
        if size > MAX_FILE_BYTES:
            raise InvalidBundle(
                f"{name} has {size} bytes, but the manifest says {entry.size}: fetch it again."
            )


def _write_file(path: Path, content: Path | bytes) -> None:
    with path.open("xb") as target:
        if isinstance(content, bytes):
            target.write(content)
        else:
            with content.open("rb") as source:
                shutil.copyfileobj(source, target, 1024**2)
        target.flush()
        os.fsync(target.fileno())


def _remove_abandoned(home: Path) -> None:
    """Remove what a killed writer left: its process is gone."""
    for path in home.glob(f"{_PARTIAL}*"):
        process = path.name.removeprefix(_PARTIAL).partition("-")[0]
        if not process.isdigit() or not _is_alive(int(process)):
            shutil.rmtree(path, ignore_errors=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
