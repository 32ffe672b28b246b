"""sha256 of files, without holding them in memory."""

import hashlib
import io
import os
import stat
from pathlib import Path

from bundle.errors import InvalidBundle
from bundle.manifest import FileEntry


def open_regular(path: Path) -> io.BufferedReader:
    """Open a file for reading, but never through a link and never a device.

    Raises:
        InvalidBundle: the path is a link or no regular file.
        FileNotFoundError: there is no such file.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        if path.is_symlink():
            raise InvalidBundle(
                f"{path.name} is a link, and a bundle holds files only: copy the file in its place."
            ) from None
        if isinstance(error, FileNotFoundError):
            raise
        raise InvalidBundle(
            f"{path.name} cannot be read ({error.strerror}): check its permissions."
        ) from None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise InvalidBundle(f"{path.name} is no regular file, and a bundle holds files only: remove it.")
    return open(handle, "rb")  # noqa: PTH123 - a descriptor, not a path


def file_entry(path: Path) -> FileEntry:
    """Size in bytes and sha256 of a regular file."""
    with open_regular(path) as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return FileEntry(sha256=digest, size=file.tell())
