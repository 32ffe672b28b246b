"""Bundles of the registry on this machine, by digest: fetched once, whole or not at all.

    <cache>/bundles/<name>/<digest>/<file>     the bundle
    <cache>/bundles/<name>/.lock               held by the one pull of that model that downloads now
    <cache>/originals/<sha256>/<file>          a trained model, where it was pushed beside its bundle

What is downloaded has a name that no reader takes for a bundle until every byte is verified, so neither a
killed pull nor a broken connection leaves half a bundle. What is there is verified at each use; what was
spoiled is fetched again. A digest that is there needs no network.
"""

import fcntl
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bundle.errors import InvalidBundle, NotFound
from bundle.folder import file_entry, verify
from bundle.layout import is_sha256
from bundle.manifest import Manifest, check_name
from bundle.registry import Registry
from coldpress import aws
from coldpress.errors import CommandError
from coldpress.handles import Handle
from coldpress.progress import transfer

_VARIABLE = "COLDPRESS_CACHE"


class Pulled(NamedTuple):
    """A bundle on this machine; ``was_there`` says that nothing was downloaded."""

    name: str
    digest: str
    folder: Path
    was_there: bool


def cache_folder() -> Path:
    """The variable's, else where caches belong (XDG Base Directory Specification)."""
    named = os.environ.get(_VARIABLE)
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "coldpress"


def open_registry(bucket: str | None = None) -> Registry:
    """The registry in that bucket, else in the variable's, else the one that is deployed."""
    bucket = bucket or os.environ.get("COLDPRESS_BUCKET")
    return Registry(bucket or aws.stack_output(aws.REGISTRY_STACK, "BucketName"), aws.s3_client())


def pull(handle: Handle, bucket: str | None = None) -> Pulled:
    """The bundle of that handle, in the cache.

    Raises:
        NotFound: the registry has no such model, version, label or digest.
        InvalidBundle: what the registry holds is not what was pushed.
        CommandError: the cache cannot be written.
    """
    name = check_name(handle.name)
    home = cache_folder() / "bundles" / name
    if handle.reference is not None and is_sha256(handle.reference) and _is_whole(home, handle.reference):
        return Pulled(name, handle.reference, home / handle.reference, was_there=True)
    registry = open_registry(handle.bucket or bucket)
    digest = registry.newest(name) if handle.reference is None else registry.resolve(name, handle.reference)
    if _is_whole(home, digest):
        return Pulled(name, digest, home / digest, was_there=True)
    with _writing(home), _locked(home):
        if _is_whole(home, digest):
            return Pulled(name, digest, home / digest, was_there=True)  # by the pull that we waited for
        _fetch(registry, name, digest, home)
    return Pulled(name, digest, home / digest, was_there=False)


def pull_original(handle: Handle, manifest: Manifest, bucket: str | None = None) -> Path | None:
    """The trained model that a bundle was pressed of, in the cache by its sha256 and under its own name.

    None: nobody pushed it beside the bundle.

    Raises:
        InvalidBundle: what the registry holds is another file.
        CommandError: the cache cannot be written.
    """
    home = cache_folder() / "originals" / manifest.source.sha256
    path = home / (Path(manifest.source.file).name or "model.onnx")
    with _writing(home), _locked(home):
        if path.exists() and file_entry(path).sha256 == manifest.source.sha256:
            return path
        partial = home / ".partial"
        partial.unlink(missing_ok=True)
        try:
            open_registry(handle.bucket or bucket).fetch_original(manifest, partial)
            return partial.replace(path)
        except NotFound:
            return None
        finally:
            partial.unlink(missing_ok=True)


def _fetch(registry: Registry, name: str, digest: str, home: Path) -> None:
    if (home / digest).exists():
        shutil.rmtree(home / digest)  # it was spoiled
    manifest = registry.manifest(name, digest)
    with transfer("pulling", sum(entry.size for entry in manifest.files.values())) as progress:
        registry.fetch(name, digest, home.parent, progress)


def _is_whole(home: Path, digest: str) -> bool:
    folder = home / digest
    if not folder.exists():
        return False
    try:
        return verify(folder, digest).name == home.name
    except (InvalidBundle, OSError):
        return False


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    """Let one process at a time change what is in ``home``; the lock goes with the process that holds it."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / ".lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.stderr.write(f"{home.name} is being pulled by another process: waiting for it\n")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _writing(home: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CommandError(
            f"the cache {home} cannot be written ({error.strerror or error}): make room or give it to you, "
            f"or name another folder with {_VARIABLE}."
        ) from None
