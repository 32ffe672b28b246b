"""From the environment to a model: every byte verified before use, or one sentence that says why not."""

import os

from bundle.errors import BundleError
from bundle.files import manifest_bytes
from bundle.layout import MANIFEST_FILE, MAX_MANIFEST_BYTES
from bundle.served import read_manifest
from handlers.inference.dataplane import Model
from handlers.inference.errors import InitError
from handlers.inference.session import open_session

TYPE_CHECKING = False  # typing itself costs a cold start 3 ms
if TYPE_CHECKING:
    from collections.abc import Mapping

    from bundle.served import Manifest
    from handlers.inference.fetch.s3 import Bucket
    from handlers.inference.ort import Buffer
    from handlers.inference.settings import Settings


def load(settings: "Settings", environ: "Mapping[str, str]") -> Model:
    """The model that ``settings`` name.

    Raises:
        InitError: one sentence that names the cause and the file or key.
    """
    data = None
    try:
        if settings.folder is None:
            manifest, data = _from_s3(settings, environ)
        elif settings.is_verified:
            manifest = _from_image(settings.folder, settings.digest)
        else:
            manifest = _from_folder(settings.folder, settings.digest)
    except BundleError as error:
        raise InitError(str(error)) from None
    except OSError as error:
        raise InitError(f"the bundle cannot be read ({error}): check its folder.") from None
    session = open_session(f"{settings.folder}/{manifest.serve}", settings.threads, data)
    return Model(
        manifest,
        session,
        name=settings.model or manifest.name,
        version=settings.version,
        file=lambda file: _read_file(settings, environ, manifest, file),
    )


def _from_image(folder: str, digest: str | None) -> "Manifest":
    """The manifest of a bundle that was verified when the image was built.

    Its model is mapped, so most of its pages are only read when they are needed. To hash it would read all.
    """
    manifest = read_manifest(manifest_bytes(folder), digest)
    path = f"{folder}/{manifest.serve}"
    if not os.path.isfile(path):  # noqa: PTH113 - without pathlib
        raise InitError(
            f"{folder} holds no {manifest.serve}, which its manifest serves: copy the bundle again."
        )
    if os.stat(path).st_size != manifest.files[manifest.serve].size:  # noqa: PTH116
        raise InitError(f"{path} is not the file that was written (its size differs): copy the bundle again.")
    return manifest


def _from_folder(folder: str, digest: str | None) -> "Manifest":
    """The manifest of a bundle that nobody has verified yet."""
    from pathlib import Path  # noqa: PLC0415 - not in Lambda

    from bundle.verify import verify_served  # noqa: PLC0415

    return verify_served(Path(folder), digest)


def _from_s3(settings: "Settings", environ: "Mapping[str, str]") -> "tuple[Manifest, memoryview]":
    """The manifest and the content of the file that it serves, verified while it arrived."""
    from handlers.inference.fetch.download import download  # noqa: PLC0415 - as in _registry

    bucket, prefix = _registry(settings, environ)
    key = f"{prefix}/{MANIFEST_FILE}"
    try:
        manifest = read_manifest(bucket.get(key, MAX_MANIFEST_BYTES), settings.digest)
    except BundleError as error:
        raise InitError(f"{bucket.where(key)} is refused: {error}") from None
    entry = manifest.files[manifest.serve]
    data = download(bucket, f"{prefix}/{manifest.serve}", entry.size, entry.sha256)
    bucket.close()
    if manifest.serve.endswith(".onnx"):
        _check_onnx(data, manifest.serve)
    return manifest, data


def _registry(settings: "Settings", environ: "Mapping[str, str]") -> "tuple[Bucket, str]":
    """The bucket, and what the keys of the bundle's files begin with."""
    # Only here: they cost 5 ms, and a bundle in the image does without.
    from handlers.inference.fetch.credentials import credentials_from  # noqa: PLC0415
    from handlers.inference.fetch.s3 import Bucket  # noqa: PLC0415

    # from_environment has checked that all three are there.
    assert settings.bucket is not None  # noqa: S101
    assert settings.model is not None  # noqa: S101
    assert settings.digest is not None  # noqa: S101
    bucket = Bucket.from_environment(settings.bucket, credentials_from(environ), environ)
    return bucket, f"models/{settings.model}/{settings.digest}"


def _read_file(
    settings: "Settings", environ: "Mapping[str, str]", manifest: "Manifest", name: str
) -> "Buffer":
    """Another file of the bundle than the one that it serves, verified: for those who ask, or never.

    Raises:
        InitError: the bundle has none, S3 does not give it, or it is not the file that was written.
        OSError: it is not in the folder, or cannot be read there.
    """
    entry = manifest.files.get(name)
    if entry is None:
        raise InitError(f"the bundle has no {name}: press the model from what has one (docs/sources.md).")
    if settings.folder is not None:
        from handlers.inference.description.golden import read_file  # noqa: PLC0415 - no start pays for it

        return read_file(settings.folder, name, entry.sha256)
    from handlers.inference.fetch.download import download  # noqa: PLC0415 - as in _registry

    bucket, prefix = _registry(settings, environ)  # anew: credentials do not last as long as the process
    content = download(bucket, f"{prefix}/{name}", entry.size, entry.sha256)
    bucket.close()
    return content


def _check_onnx(data: memoryview, name: str) -> None:
    from bundle.external_data import points_outside  # noqa: PLC0415 - model.ort cannot point anywhere

    if points_outside(data, name):
        raise InitError(f"{name} keeps tensors in other files, which a bundle never follows: press it anew.")
