"""From the environment to a model: every byte verified before use, or one sentence that says why not."""

import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

from bundle.digests import file_entry
from bundle.errors import BundleError
from bundle.external_data import has_external_data
from bundle.folder import MAX_MANIFEST_BYTES, check_digest, check_listing, read
from bundle.manifest import MANIFEST_FILE, FileEntry, Manifest, decode
from handlers.inference.dataplane import Model
from handlers.inference.errors import InitError
from handlers.inference.fetch.s3 import Bucket
from handlers.inference.fetch.sigv4 import credentials_from
from handlers.inference.session import open_session
from handlers.inference.settings import Settings


def load(settings: Settings, environ: Mapping[str, str], scratch: Path | None = None) -> Model:
    """The model that ``settings`` name; ``scratch`` is where a fetched file is kept (``/tmp`` in Lambda).

    Raises:
        InitError: one sentence that names the cause and the file or key.
    """
    try:
        if settings.folder is not None:
            manifest, path = _from_folder(settings.folder, settings.digest)
        else:
            home = scratch or Path(tempfile.gettempdir())
            manifest, path = _from_s3(settings, environ, home)
        if path.suffix == ".onnx" and has_external_data(path):
            raise InitError(
                "model.onnx keeps tensors in other files, which a bundle never follows: press it anew."
            )
    except BundleError as error:
        raise InitError(str(error)) from None
    except OSError as error:
        raise InitError(
            f"the bundle cannot be read or kept ({error}): check its folder, or enlarge /tmp."
        ) from None
    session = open_session(str(path), settings.threads)
    return Model(manifest, session, name=settings.model or manifest.name, version=settings.version)


def _from_folder(folder: Path, digest: str | None) -> tuple[Manifest, Path]:
    manifest = read(folder)
    check_listing(manifest)
    check_digest(manifest, digest)
    path = folder / manifest.serve
    if not path.is_file():
        raise InitError(
            f"{folder} holds no {manifest.serve}, which its manifest serves: copy the bundle again."
        )
    if file_entry(path) != manifest.files[manifest.serve]:
        raise InitError(
            f"{path} is not the file that was written (size or sha256 differs): copy the bundle again."
        )
    return manifest, path


def _from_s3(settings: Settings, environ: Mapping[str, str], scratch: Path) -> tuple[Manifest, Path]:
    # from_environment has checked that all three are there.
    assert settings.bucket is not None  # noqa: S101
    assert settings.model is not None  # noqa: S101
    assert settings.digest is not None  # noqa: S101
    bucket = Bucket.from_environment(settings.bucket, credentials_from(environ), environ)
    prefix = f"models/{settings.model}/{settings.digest}"
    manifest = _fetch_manifest(bucket, f"{prefix}/{MANIFEST_FILE}", settings.digest)
    home = scratch / "coldpress" / settings.digest
    home.mkdir(parents=True, exist_ok=True)
    path = home / manifest.serve
    entry = manifest.files[manifest.serve]
    # A second init in the same environment finds the file of the first.
    if not path.is_file() or file_entry(path) != entry:
        _fetch_file(bucket, f"{prefix}/{manifest.serve}", entry, path)
    return manifest, path


def _fetch_manifest(bucket: Bucket, key: str, digest: str) -> Manifest:
    data = bytearray()

    def consume(pieces: Iterator[bytes]) -> None:
        data.clear()
        for piece in pieces:
            data.extend(piece)
            if len(data) > MAX_MANIFEST_BYTES:
                raise InitError(
                    f"s3://{bucket.name}/{key} has more than {MAX_MANIFEST_BYTES} bytes: push it again."
                )

    bucket.get(key, consume, MAX_MANIFEST_BYTES)
    try:
        manifest = decode(bytes(data))
        check_listing(manifest)
        check_digest(manifest, digest)
    except BundleError as error:
        raise InitError(f"s3://{bucket.name}/{key} is refused: {error}") from None
    return manifest


def _fetch_file(bucket: Bucket, key: str, entry: FileEntry, path: Path) -> None:
    """Fetch into a temporary file, verify while it arrives, and rename: ``path`` is never half there."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".partial-", delete=False) as file:

        def consume(pieces: Iterator[bytes]) -> None:
            file.seek(0)
            file.truncate()
            digest, size = hashlib.sha256(), 0
            for piece in pieces:
                size += len(piece)
                if size > entry.size:
                    break
                digest.update(piece)
                _keep(file, piece)
            if FileEntry(sha256=digest.hexdigest(), size=size) != entry:
                raise InitError(
                    f"s3://{bucket.name}/{key} is not the file that was pushed (size or sha256 differs): "
                    "push the bundle again, and find out who changed it."
                )

        try:
            bucket.get(key, consume, entry.size)
            file.flush()
            Path(file.name).replace(path)
        finally:
            Path(file.name).unlink(missing_ok=True)


def _keep(file: IO[bytes], piece: bytes) -> None:
    """Write; a full disk is told from a broken connection, which another try may heal."""
    try:
        file.write(piece)
    except OSError as error:
        raise InitError(
            f"{file.name} cannot be written ({error.strerror}): give the function more ephemeral storage."
        ) from None
