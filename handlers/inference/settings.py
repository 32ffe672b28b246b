"""What the environment says: which model to serve, from where, with how many threads."""

import os

from handlers.inference.errors import InitError

TYPE_CHECKING = False  # typing itself costs a cold start 3 ms
if TYPE_CHECKING:
    from collections.abc import Mapping

# Lambda gives one vCPU for every 1,769 MB of memory.
_MEGABYTES_PER_VCPU = 1769


class Settings:
    """Where the bundle is (a folder, or a bucket and a digest) and what it is called in URLs.

    ``is_verified`` says that the folder was verified when it was copied into the image
    (``python3 -m bundle.verify``): its model is then mapped, and not read to the end to be hashed.
    """

    __slots__ = ("bucket", "digest", "folder", "is_verified", "model", "threads", "version")

    def __init__(  # noqa: PLR0913 - the environment's variables
        self,
        *,
        model: str | None,
        version: str,
        digest: str | None,
        bucket: str | None,
        folder: "str | os.PathLike[str] | None",
        threads: int,
        is_verified: bool = False,
    ) -> None:
        self.model = model
        self.version = version
        self.digest = digest
        self.bucket = bucket
        self.folder = None if folder is None else os.fspath(folder)
        self.threads = threads
        self.is_verified = is_verified


def from_environment(environ: "Mapping[str, str]") -> Settings:
    """Read the ``COLDPRESS_*`` variables (docs/architecture.md).

    Raises:
        InitError: a variable is missing; the sentence names it.
    """
    settings = Settings(
        model=environ.get("COLDPRESS_MODEL") or None,
        version=environ.get("COLDPRESS_VERSION") or "1",
        digest=environ.get("COLDPRESS_DIGEST") or None,
        bucket=environ.get("COLDPRESS_BUCKET") or None,
        folder=environ.get("COLDPRESS_BUNDLE_DIR") or None,
        threads=_threads(environ),
        is_verified=True,
    )
    if settings.folder is None:
        for name, value in (
            ("COLDPRESS_BUCKET", settings.bucket),
            ("COLDPRESS_MODEL", settings.model),
            ("COLDPRESS_DIGEST", settings.digest),
        ):
            if value is None:
                raise InitError(
                    f"the environment has no {name}: set COLDPRESS_BUCKET, COLDPRESS_MODEL and "
                    "COLDPRESS_DIGEST to load a bundle from S3, or COLDPRESS_BUNDLE_DIR for one in a folder."
                )
    return settings


def _threads(environ: "Mapping[str, str]") -> int:
    """One thread per whole vCPU that the function's memory buys, at least one."""
    memory = environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "")
    vcpus = int(memory) // _MEGABYTES_PER_VCPU if memory.isdecimal() else 1
    return max(1, min(vcpus, os.cpu_count() or 1))
