"""The bundle that is watched: its manifest, and what requests and answers were like when it was made."""

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from bundle.manifest import Manifest
from bundle.registry import Registry
from monitoring.baseline import Baseline, decode

_FILE = "baseline.json"


class NotWatchable(Exception):
    """A version cannot be watched; one sentence says why, and what to do."""


class Pressed(NamedTuple):
    """A bundle's manifest and baseline."""

    manifest: Manifest
    baseline: Baseline


def read_pressed(client: Any, bucket: str, name: str, digest: str) -> Pressed:
    """Of the registry, checked against the digest.

    Raises:
        RegistryError, InvalidBundle: the registry does not hold it as it was pushed.
        NotWatchable: it has no baseline that this release reads.
    """
    manifest = Registry(bucket, client).manifest(name, digest)
    data = client.get_object(Bucket=bucket, Key=f"models/{name}/{digest}/{_FILE}")["Body"].read()
    if not _is_whole(data, manifest):
        raise NotWatchable(f"{_FILE} of {digest[:12]} is not what was pushed: push the bundle again.")
    return Pressed(manifest, _baseline(data, manifest))


def pressed_in(folder: Path, manifest: Manifest) -> Pressed:
    """Of a bundle's folder, checked against its manifest.

    Raises:
        NotWatchable: it has no baseline that this release reads.
    """
    try:
        data = (folder / _FILE).read_bytes()
    except OSError as error:
        raise NotWatchable(
            f"{folder / _FILE} cannot be read ({error.strerror}): copy the bundle again."
        ) from None
    if not _is_whole(data, manifest):
        raise NotWatchable(f"{folder / _FILE} is not the file that was written: copy the bundle again.")
    return Pressed(manifest, _baseline(data, manifest))


def _is_whole(data: bytes, manifest: Manifest) -> bool:
    return hashlib.sha256(data).hexdigest() == manifest.files[_FILE].sha256


def _baseline(data: bytes, manifest: Manifest) -> Baseline:
    try:
        return decode(data)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise NotWatchable(
            f"{_FILE} of {manifest.digest[:12]} cannot be read ({error}): press the model again."
        ) from None
