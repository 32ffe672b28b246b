"""The bundle that is watched: its manifest, and what requests and answers were like when it was made."""

import hashlib
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
    if hashlib.sha256(data).hexdigest() != manifest.files[_FILE].sha256:
        raise NotWatchable(f"{_FILE} of {digest[:12]} is not what was pushed: push the bundle again.")
    try:
        return Pressed(manifest, decode(data))
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise NotWatchable(
            f"{_FILE} of {digest[:12]} cannot be read ({error}): press the model again."
        ) from None
