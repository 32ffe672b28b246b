"""sha256 of files, without holding them in memory."""

import hashlib

from bundle.files import open_regular

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bundle.files import AnyPath


def measure(path: "AnyPath") -> tuple[str, int]:
    """sha256 and size in bytes of a regular file.

    Raises:
        InvalidBundle: it is none.
    """
    with open_regular(path) as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return digest, file.tell()
