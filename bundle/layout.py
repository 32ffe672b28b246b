"""What everybody who reads or writes a bundle agrees on: names, limits, and how its address is made.

Imported before a server's first answer, so it imports next to nothing itself.
"""

import sys

from bundle.errors import DigestMismatch, InvalidBundle, UnknownSchema

TYPE_CHECKING = False  # typing itself costs a cold start 3 ms
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Protocol

    class Entry(Protocol):
        """One file of the bundle, as it must be."""

        @property
        def sha256(self) -> str:
            """In hexadecimal digits."""

        @property
        def size(self) -> int:
            """In bytes."""


# Python's own: of a manifest's few kilobytes it makes an address without loading OpenSSL, which takes 2 ms.
if sys.version_info >= (3, 12):
    from _sha2 import sha256
else:
    from _sha256 import sha256  # type: ignore[import-not-found] # what typeshed leaves out

SCHEMA_VERSION = 1
MANIFEST_FILE = "manifest.json"
# What a bundle holds beside its manifest: all of the first, of the second what the model came with.
BUNDLE_FILES = ("baseline.json", "golden.npz", "model.onnx", "model.ort", "report.html")
OPTIONAL_FILES = ("preprocessor_config.json", "tokenizer.json")
MAX_MANIFEST_BYTES = 4 * 1024**2
# A protobuf, and so an ONNX file without external data, ends here.
MAX_FILE_BYTES = 2 * 1024**3
_LETTERS_AND_DIGITS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")


def is_name(text: str) -> bool:
    """Whether ``text`` can name a model: a path segment in S3, in a URL and in a CloudFormation name."""
    return (
        0 < len(text) <= 63
        and _LETTERS_AND_DIGITS.issuperset(text.replace("-", ""))
        and not text.startswith("-")
        and not text.endswith("-")
    )


def is_sha256(text: str) -> bool:
    """Whether ``text`` is a digest: 64 hexadecimal digits, in lower case."""
    return len(text) == 64 and frozenset("0123456789abcdef").issuperset(text)


def address(files: "Mapping[str, Entry]", manifest: bytes) -> str:
    """The bundle's address: sha256 over the sorted file digests and the manifest without its own digest.

    The manifest is included so that a changed label, tensor name or file to serve is refused like a changed
    weight.

    Args:
        files: the manifest's entries by file name.
        manifest: its bytes, with an empty ``digest``.
    """
    total = sha256()
    for name, entry in sorted(files.items()):
        total.update(f"{entry.sha256}  {entry.size}  {name}\n".encode())
    total.update(manifest)
    return str(total.hexdigest())


def check_address(stated: str, actual: str, wanted: str | None) -> None:
    """Refuse a manifest that is not the one its digest, or the digest asked for, was made of."""
    if stated != actual:
        raise DigestMismatch(
            f"{MANIFEST_FILE} is not the file that was written (it says digest {stated or 'none'}, "
            f"but its content has {actual}): fetch the bundle again."
        )
    if wanted is not None and wanted != actual:
        raise DigestMismatch(
            f"the bundle has digest {actual}, but {wanted} was asked for: fetch the bundle again."
        )


def check_listing(files: "Mapping[str, Entry]") -> None:
    """Refuse a manifest whose file names are not a bundle's, or whose files are too large."""
    for name in files:
        if "/" in name or "\\" in name or name in ("..", "."):
            raise InvalidBundle(
                f"{MANIFEST_FILE} names '{name}', a path out of the bundle's folder: do not use this bundle."
            )
    check_names(files, f"{MANIFEST_FILE} lists")
    for name, entry in sorted(files.items()):
        if not 0 <= entry.size <= MAX_FILE_BYTES:
            raise InvalidBundle(
                f"{name} has {entry.size} bytes, but a bundle's file has at most {MAX_FILE_BYTES}: "
                "press the model smaller, or split it."
            )


def check_names(names: "Iterable[str]", what: str) -> None:
    """Refuse a set of file names that is not a bundle's; ``what`` begins the sentence."""
    found = set(names)
    missing, extra = sorted(set(BUNDLE_FILES) - found), sorted(found.difference(BUNDLE_FILES, OPTIONAL_FILES))
    if missing:
        raise InvalidBundle(f"{what} no {missing[0]}, which every bundle has: fetch the bundle again.")
    if extra:
        raise InvalidBundle(f"{what} '{extra[0]}', which is no file of a bundle: remove it.")


def check_version(version: object) -> None:
    """Refuse a manifest of another schema than this release's."""
    if version != SCHEMA_VERSION:
        raise UnknownSchema(
            f"{MANIFEST_FILE} has schema version {version}, but this release reads version {SCHEMA_VERSION}: "
            "use the coldpress release that made the bundle, or make the bundle anew."
        )
