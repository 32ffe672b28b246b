"""The registry: bundles, versions and labels in one S3 bucket, without list-then-write races.

    models/<name>/<digest>/<file>     immutable: written once, on the condition that nothing is there
    models/<name>/versions/<n>        holds a digest; claimed on the condition that nothing is there
    models/<name>/labels/<label>      holds a digest; moved on the condition that it is as it was read
    models/<name>/originals/<sha256>  a trained model, which bundles were pressed of; for the monitor

The manifest is uploaded last and a version is claimed after it, so neither a reader nor a version number ever
meets half a bundle, wherever a push is killed.
"""

import base64
import io
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypedDict

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from bundle.errors import InvalidBundle, LabelMoved, NotFound, RegistryError
from bundle.files import open_regular
from bundle.folder import file_entry, partial_folder, place, verify
from bundle.layout import MANIFEST_FILE, MAX_MANIFEST_BYTES, check_address, check_listing
from bundle.manifest import Manifest, check_name, decode, digest_of, encode

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

_DIGEST = re.compile(r"[0-9a-f]{64}")
_LABEL = re.compile(r"[a-z][a-z0-9-]{0,62}")
_CONFLICT_WAITS = (0.1, 0.3, 1.0, 3.0)
_ABSENT = ("NoSuchKey", "404")
_CHUNK_BYTES = 1024**2


def original_key(name: str, sha256: str) -> str:
    """Where a trained model lies in the bucket."""
    return f"models/{name}/originals/{sha256}"


class Pushed(NamedTuple):
    """A bundle in the registry; ``created`` is false where this push found it there already."""

    name: str
    digest: str
    version: int
    created: bool


class Stored(NamedTuple):
    """An object of a model, as listed: ``key`` is what follows ``models/<name>/``, ``size`` in bytes."""

    key: str
    size: int
    etag: str
    modified: datetime


class Label(NamedTuple):
    """Where a label points, and the mark by which a later move is conditional."""

    digest: str
    etag: str


class Registry:
    """Bundles in the S3 bucket ``bucket``, reached through a boto3 S3 client.

    Every method raises RegistryError (or a kind of it) when S3 refuses or cannot be reached.
    """

    def __init__(self, bucket: str, client: "S3Client") -> None:
        self.bucket = bucket
        self._client = client

    def push(self, folder: Path, progress: Callable[[str, int], None] = lambda _name, _size: None) -> Pushed:
        """Upload the bundle in ``folder`` and claim a version number for it.

        Pushing the same bundle again returns the version that it has. ``progress`` is called with the name
        and the size in bytes of each file once it is in the registry.

        Raises:
            InvalidBundle: the folder does not hold a whole bundle.
        """
        manifest = verify(folder)
        for name in (*sorted(manifest.files), MANIFEST_FILE):
            self._put_file(f"models/{manifest.name}/{manifest.digest}/{name}", folder / name)
            progress(name, (folder / name).stat().st_size)
        version, created = self._claim_version(manifest)
        return Pushed(manifest.name, manifest.digest, version, created)

    def push_original(self, manifest: Manifest, path: Path) -> None:
        """Upload the trained model that a bundle was pressed of; it is there once for all bundles of it.

        Raises:
            InvalidBundle: it is another one.
        """
        if file_entry(path).sha256 != manifest.source.sha256:
            raise InvalidBundle(
                f"{path} is not the model that the bundle was pressed of, which was called "
                f"{manifest.source.file}: give that file."
            )
        self._put_file(original_key(manifest.name, manifest.source.sha256), path)

    def fetch(
        self,
        name: str,
        digest: str,
        parent: Path,
        progress: Callable[[str, int], None] = lambda _name, _size: None,
    ) -> Path:
        """Download a bundle to ``<parent>/<name>/<digest>/``, checked byte by byte, and return the folder.

        ``progress`` is called with the name and the size in bytes of each file once it is here.

        Raises:
            NotFound: the registry has no such bundle.
            InvalidBundle: what the registry holds is not what was pushed.
        """
        manifest = self.manifest(name, digest)
        with partial_folder(parent, name) as partial:
            for file in (*sorted(manifest.files), MANIFEST_FILE):
                self._get_file(f"models/{name}/{digest}/{file}", partial / file)
                progress(file, (partial / file).stat().st_size)
            return place(partial, manifest.digest)

    def fetch_original(self, manifest: Manifest, path: Path) -> None:
        """Download the trained model that a bundle was pressed of to ``path``, which is not there yet.

        Raises:
            NotFound: nobody pushed it.
            InvalidBundle: what the registry holds is another file.
        """
        self._get_file(original_key(manifest.name, manifest.source.sha256), path)
        if file_entry(path).sha256 != manifest.source.sha256:
            raise InvalidBundle(
                f"the original of {manifest.name} in bucket '{self.bucket}' is not the file that was pushed: "
                "remove it there, and push it again with --original."
            )

    def manifest(self, name: str, digest: str) -> Manifest:
        """The manifest of a bundle in the registry, which must be that of ``digest``."""
        manifest = decode(self._get(f"models/{check_name(name)}/{_check_digest(digest)}/{MANIFEST_FILE}"))
        check_listing(manifest.files)
        check_address(manifest.digest, digest_of(manifest), digest)
        return manifest

    def names(self) -> list[str]:
        """The names of all models."""
        with self._aws_errors():
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix="models/", Delimiter="/"
            )
            found = [entry["Prefix"] for page in pages for entry in page.get("CommonPrefixes", [])]
        return [prefix.split("/")[1] for prefix in found]

    def stored(self, name: str) -> list[Stored]:
        """All objects of a model: of its bundles, versions, labels and originals."""
        prefix = f"models/{check_name(name)}/"
        with self._aws_errors():
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
            return [
                Stored(entry["Key"].removeprefix(prefix), entry["Size"], entry["ETag"], entry["LastModified"])
                for page in pages
                for entry in page.get("Contents", [])
            ]

    def delete(self, name: str, stored: Stored) -> None:
        """Delete an object if it still is as it was listed; one that is gone already is no error.

        In a versioned bucket it gets a marker, and its bytes stay as an old version of the object.

        Raises:
            RegistryError: somebody changed it meanwhile.
        """
        key = f"models/{check_name(name)}/{stored.key}"
        try:
            with suppress(NotFound), self._aws_errors(key):
                self._client.delete_object(Bucket=self.bucket, Key=key, IfMatch=stored.etag)
        except (_Taken, _Conflict):
            raise RegistryError(
                f"s3://{self.bucket}/{key} was changed by somebody else meanwhile: look again."
            ) from None

    def restore_manifest(self, manifest: Manifest) -> None:
        """Put a bundle's manifest back where ``delete`` has taken it away."""
        with suppress(_Taken):
            key = f"models/{manifest.name}/{manifest.digest}/{MANIFEST_FILE}"
            self._put(key, encode(manifest), {"IfNoneMatch": "*"})

    def newest(self, name: str) -> str:
        """The digest of a model's newest version.

        Raises:
            NotFound: it has none.
        """
        numbers = self._version_numbers(name)
        if not numbers:
            raise NotFound(f"bucket '{self.bucket}' has no version of a model '{name}': push a bundle first.")
        return self._version(name, numbers[-1])

    def versions(self, name: str) -> dict[int, str]:
        """All version numbers of a model with their digests, oldest first."""
        return {number: self._version(name, number) for number in self._version_numbers(name)}

    def resolve(self, name: str, reference: str) -> str:
        """The digest that a reference names: a version number, a label, or a digest itself.

        Raises:
            NotFound: the model has no such version or label, or the registry no such bundle.
        """
        if _DIGEST.fullmatch(reference):
            return self.manifest(name, reference).digest
        if reference.isdigit():
            return self._version(name, int(reference))
        label = self.label(name, reference)
        if label is None:
            raise NotFound(f"model '{name}' has no label '{reference}': set it first, or name a version.")
        return label.digest

    def label(self, name: str, label: str) -> Label | None:
        """Where a label points now; None if it was never set."""
        key = f"models/{check_name(name)}/labels/{_check_label(label)}"
        with self._aws_errors():
            try:
                answer = self._client.get_object(Bucket=self.bucket, Key=key)
            except ClientError as error:
                if _code(error) in _ABSENT:
                    return None
                raise
            return Label(_check_digest(answer["Body"].read(65).decode("ascii", "replace")), answer["ETag"])

    def labels(self, name: str) -> list[str]:
        """The names of a model's labels."""
        return self._names_below(f"models/{check_name(name)}/labels/")

    def move_label(self, name: str, label: str, digest: str, expected: Label | None) -> Label:
        """Point a label at a bundle, if it still is as the caller read it (``expected``; None: not there).

        Raises:
            LabelMoved: somebody moved it in between; read it again and decide anew.
            NotFound: the registry has no such bundle.
        """
        self.manifest(name, digest)
        key = f"models/{name}/labels/{_check_label(label)}"
        try:
            condition: _Condition = {"IfMatch": expected.etag} if expected else {"IfNoneMatch": "*"}
            etag = self._put(key, digest.encode(), condition)
        except _Taken:
            raise LabelMoved(
                f"label '{label}' of model '{name}' was moved by somebody else: look where it points now."
            ) from None
        return Label(digest, etag)

    def _claim_version(self, manifest: Manifest) -> tuple[int, bool]:
        """Return the version that holds the bundle and whether this call claimed it."""
        numbers = self._version_numbers(manifest.name)
        for number in reversed(numbers):
            if self._version(manifest.name, number) == manifest.digest:
                return number, False
        number = max(numbers, default=0) + 1
        while True:
            try:
                key = f"models/{manifest.name}/versions/{number}"
                self._put(key, manifest.digest.encode(), {"IfNoneMatch": "*"})
                return number, True
            except _Taken:
                # Another push was quicker; if it pushed this very bundle, the number is ours as well.
                if self._version(manifest.name, number) == manifest.digest:
                    return number, False
                number += 1

    def _version(self, name: str, number: int) -> str:
        try:
            body = self._get(f"models/{check_name(name)}/versions/{number}")
        except NotFound:
            raise NotFound(
                f"model '{name}' has no version {number} in bucket '{self.bucket}': push a bundle first."
            ) from None
        return _check_digest(body.decode("ascii", "replace"))

    def _version_numbers(self, name: str) -> list[int]:
        keys = self._names_below(f"models/{check_name(name)}/versions/")
        return sorted(int(key) for key in keys if key.isdigit())

    def _names_below(self, prefix: str) -> list[str]:
        with self._aws_errors():
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
            return [entry["Key"].removeprefix(prefix) for page in pages for entry in page.get("Contents", [])]

    def _put_file(self, key: str, path: Path) -> None:
        entry = file_entry(path)
        condition: _Condition = {
            "IfNoneMatch": "*",
            "ChecksumSHA256": base64.b64encode(bytes.fromhex(entry.sha256)).decode(),
            "Metadata": {"sha256": entry.sha256},
        }
        try:
            with open_regular(path) as body:
                self._put(key, body, condition)
        except _Taken:
            with self._aws_errors(key):
                there = self._client.head_object(Bucket=self.bucket, Key=key)
            if (there["ContentLength"], there["Metadata"].get("sha256")) != (entry.size, entry.sha256):
                raise RegistryError(
                    f"s3://{self.bucket}/{key} has other content, which no push wrote: remove it first."
                ) from None

    def _put(self, key: str, body: bytes | io.BufferedReader, condition: "_Condition") -> str:
        """Write an object on a condition and return its ETag; raises _Taken where the condition fails."""
        for wait in (*_CONFLICT_WAITS, None):
            try:
                if isinstance(body, io.BufferedReader):
                    body.seek(0)
                with self._aws_errors(key):
                    return self._client.put_object(Bucket=self.bucket, Key=key, Body=body, **condition)[
                        "ETag"
                    ]
            except _Conflict:
                # Two writers at the very same moment: S3 refuses both and asks them to try again.
                if wait is None:
                    break
                time.sleep(wait)
        raise RegistryError(
            f"s3://{self.bucket}/{key} is being written by others all the time: try again later."
        )

    def _get(self, key: str) -> bytes:
        """A small object, whole."""
        with self._aws_errors(key):
            data = self._client.get_object(Bucket=self.bucket, Key=key)["Body"].read(MAX_MANIFEST_BYTES + 1)
        if len(data) > MAX_MANIFEST_BYTES:
            raise InvalidBundle(
                f"s3://{self.bucket}/{key} is larger than {MAX_MANIFEST_BYTES} bytes: do not use it."
            )
        return data

    def _get_file(self, key: str, path: Path) -> None:
        with self._aws_errors(key), path.open("xb") as target:
            for chunk in self._client.get_object(Bucket=self.bucket, Key=key)["Body"].iter_chunks(
                _CHUNK_BYTES
            ):
                target.write(chunk)

    @contextmanager
    def _aws_errors(self, key: str | None = None) -> Iterator[None]:
        """Turn what AWS says into this room's errors, one sentence each."""
        try:
            yield
        except NoCredentialsError:
            raise RegistryError(
                "there are no AWS credentials: run `aws configure`, or set AWS_PROFILE or AWS_ACCESS_KEY_ID."
            ) from None
        except BotoCoreError as error:
            raise RegistryError(
                f"S3 cannot be reached ({error}): check the network and the region."
            ) from None
        except ClientError as error:
            code = _code(error)
            if code == "PreconditionFailed":
                raise _Taken from None
            if code == "ConditionalRequestConflict":
                raise _Conflict from None
            if code == "NoSuchBucket":
                raise NotFound(
                    f"there is no bucket '{self.bucket}': run `cdk deploy coldpress-registry`."
                ) from None
            if code in _ABSENT:
                raise NotFound(f"s3://{self.bucket}/{key} does not exist: push the bundle first.") from None
            raise RegistryError(
                f"S3 refused a call on '{self.bucket}' ({code}: {error.response['Error'].get('Message')}): "
                "check the credentials' rights and the bucket's name."
            ) from None


class _Condition(TypedDict, total=False):
    """What a put demands of the key and of the bytes that arrive."""

    IfNoneMatch: str
    IfMatch: str
    ChecksumSHA256: str
    Metadata: dict[str, str]


class _Taken(Exception):
    """A conditional put found something else there."""


class _Conflict(Exception):
    """A conditional put met another one."""


def _code(error: ClientError) -> str:
    return error.response["Error"]["Code"]


def _check_digest(digest: str) -> str:
    if _DIGEST.fullmatch(digest):
        return digest
    raise InvalidBundle(f"'{digest[:80]}' is no digest: a digest has 64 hexadecimal digits.")


def _check_label(label: str) -> str:
    if _LABEL.fullmatch(label) and not _DIGEST.fullmatch(label):
        return label
    raise RegistryError(
        f"'{label}' cannot be a label: use lower-case letters, digits and hyphens, starting with a letter."
    )
