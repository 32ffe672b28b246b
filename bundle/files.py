"""Opening a bundle's files: regular ones, in the bundle's own folder.

Imported before a server's first answer, so it imports next to nothing itself.
"""

import os
import stat

from bundle.errors import InvalidBundle
from bundle.layout import MANIFEST_FILE, MAX_MANIFEST_BYTES

TYPE_CHECKING = False  # typing itself costs a cold start 3 ms
if TYPE_CHECKING:
    import io

    AnyPath = str | os.PathLike[str]


def open_regular(path: "AnyPath") -> "io.BufferedReader":
    """Open a file for reading, but never through a link and never a device.

    Raises:
        InvalidBundle: the path is a link or no regular file.
        FileNotFoundError: there is no such file.
    """
    name = os.fspath(path).rpartition("/")[2]
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        if os.path.islink(path):  # noqa: PTH114 - without pathlib
            raise InvalidBundle(
                f"{name} is a link, and a bundle holds files only: copy the file in its place."
            ) from None
        if isinstance(error, FileNotFoundError):
            raise
        raise InvalidBundle(f"{name} cannot be read ({error.strerror}): check its permissions.") from None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise InvalidBundle(f"{name} is no regular file, and a bundle holds files only: remove it.")
    return open(handle, "rb")  # noqa: PTH123 - a descriptor, not a path


def manifest_bytes(folder: "AnyPath") -> bytes:
    """What ``manifest.json`` in ``folder`` holds.

    Raises:
        InvalidBundle: there is none, or it is larger than any manifest.
    """
    folder = os.fspath(folder)
    try:
        with open_regular(f"{folder}/{MANIFEST_FILE}") as file:
            data = file.read(MAX_MANIFEST_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise InvalidBundle(
            f"{folder} is not a bundle: it holds no {MANIFEST_FILE}. Name the folder that `optimize` printed."
        ) from None
    if len(data) > MAX_MANIFEST_BYTES:
        raise InvalidBundle(
            f"{MANIFEST_FILE} is larger than {MAX_MANIFEST_BYTES} bytes: make the bundle anew."
        )
    return data
