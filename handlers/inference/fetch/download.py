"""A large object of known size into memory, by parallel ranges, hashed in order while it arrives.

One connection to S3 carries about 80 MB/s, so a large model takes several, in the ranges of 8 to 16 MB that
AWS recommends:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance-guidelines.html
"""

import mmap
from _hashlib import openssl_sha256
from _thread import allocate_lock, start_new_thread

from handlers.inference.errors import InitError
from handlers.inference.fetch.http import Interrupted
from handlers.inference.fetch.s3 import Changed

TYPE_CHECKING = False  # typing itself costs a cold start 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable

    from handlers.inference.fetch.http import Connection
    from handlers.inference.fetch.s3 import Bucket

RANGE_BYTES = 8 * 1024**2
CONNECTIONS = 4


def download(bucket: "Bucket", key: str, size: int, sha256: str) -> memoryview:
    """The object's ``size`` bytes, whose digest is ``sha256``, in memory that starts at a page's beginning.

    Raises:
        InitError: S3 refuses, fails in every try, or gives other bytes; the sentence names cause and key.
    """
    digest = openssl_sha256()
    try:
        target = fetch(bucket, key, size, digest.update)
    except Changed:
        target = memoryview(b"")
    if digest.hexdigest() != sha256 or len(target) != size:
        raise InitError(
            f"{bucket.where(key)} is not the file that was pushed (size or sha256 differs): push the bundle "
            "again, and find out who changed it."
        )
    return target


def fetch(bucket: "Bucket", key: str, size: int, see: "Callable[[memoryview], object]") -> memoryview:
    """The object's ``size`` bytes, in memory that starts at a page's beginning.

    Args:
        bucket: where it is.
        key: the object.
        size: how many bytes it must have.
        see: is given the bytes piece by piece, in their order, while others arrive.

    Raises:
        InitError: S3 refuses, or fails in every try; the sentence names cause and key.
        Changed: it is not of this size, or another object took its place in between.
    """
    target = _memory(size)
    _Download(bucket, key, target, see).run()
    return target


def _memory(size: int) -> memoryview:
    """Zeros, in large pages where the system has them: 23 MB in small ones cost 9 ms of page faults more."""
    pages = mmap.mmap(-1, max(size, 1), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    try:  # noqa: SIM105 - contextlib costs an import
        pages.madvise(mmap.MADV_HUGEPAGE)
    except OSError:
        pass  # a kernel without them
    return memoryview(pages)[:size]


class _Range:
    """The bytes from ``first`` to before ``end``; those before ``arrived`` are there."""

    __slots__ = ("arrived", "end", "first")

    def __init__(self, first: int, end: int) -> None:
        self.first = first
        self.arrived = first
        self.end = end


class _Download:
    """One object on its way into ``target``.

    The first answer's ETag is demanded of all others, so that all parts are of one object. The thread that
    called sees what arrives; with one range it also reads, else ``CONNECTIONS`` threads of its own read.
    """

    def __init__(
        self, bucket: "Bucket", key: str, target: memoryview, see: "Callable[[memoryview], object]"
    ) -> None:
        self._bucket = bucket
        self._key = key
        self._target = target
        size = len(target)
        self._ranges = [_Range(n, min(n + RANGE_BYTES, size)) for n in range(0, size, RANGE_BYTES)]
        self._waiting = self._ranges[::-1]
        self._etag: str | None = None
        self._see = see
        self._seen = 0
        self._failure: BaseException | None = None
        self._news = allocate_lock()  # held while there is none
        self._news.acquire()

    def run(self) -> None:
        """Read it all.

        Raises:
            InitError: it cannot be read.
            Changed: it is not of this size, or another object took its place in between.
        """
        if len(self._ranges) == 1:
            self._read(self._waiting.pop(), self._show)
        elif self._ranges:
            start_new_thread(self._work, ())
        while self._seen < len(self._target):
            self._news.acquire()
            if self._failure is not None:
                raise self._failure
            self._show()

    def _show(self) -> None:
        """Let see what has arrived without a gap."""
        while self._seen < len(self._target):
            arrived = self._ranges[self._seen // RANGE_BYTES].arrived
            if arrived == self._seen:
                return
            self._see(self._target[self._seen : arrived])
            self._seen = arrived

    def _tell(self) -> None:
        """Wake the thread that sees."""
        try:  # noqa: SIM105 - contextlib costs an import
            self._news.release()
        except RuntimeError:
            pass  # it has not yet looked at the last news

    def _work(self) -> None:
        """A thread: read one range after the other, until none is left or something has failed."""
        try:
            while self._waiting and self._failure is None:
                self._read(self._waiting.pop(), self._tell)
        except IndexError:
            pass  # another thread took the last one
        except BaseException as error:  # noqa: BLE001 - it is raised where somebody waits for it
            self._failure = error
        self._tell()

    def _read(self, part: _Range, tell: "Callable[[], None]") -> None:
        def once(connection: "Connection") -> None:
            self._ask(connection, part)
            for count in connection.read(self._target[part.arrived : part.end]):
                part.arrived += count
                tell()
                if self._failure is not None:
                    raise Changed  # nobody waits for the rest

        self._bucket.attempt(self._key, once)

    def _ask(self, connection: "Connection", part: _Range) -> None:
        """Ask for what the range still lacks, and check that the answer is that, of the same object."""
        first, end, size = part.arrived, part.end, len(self._target)
        headers = {}
        is_whole = first == 0 and end == size
        if not is_whole:
            headers["range"] = f"bytes={first}-{end - 1}"
        if self._etag:
            headers["if-match"] = self._etag
        self._bucket.ask(connection, self._key, end - first, headers)
        self._check(connection, end - first, "" if is_whole else f"bytes {first}-{end - 1}/{size}")

    def _check(self, connection: "Connection", length: int, content_range: str) -> None:
        found = connection.headers.get("content-range", "")
        if found.rpartition("/")[2] != content_range.rpartition("/")[2]:
            raise Changed
        if found != content_range:
            raise Interrupted("an answer with another range than was asked for")
        if connection.length != length:
            raise Changed
        etag = connection.headers.get("etag", "")
        if self._etag is None:
            self._etag = etag
            for _ in self._waiting[: CONNECTIONS - 1]:
                start_new_thread(self._work, ())
        elif etag != self._etag:
            raise Changed
