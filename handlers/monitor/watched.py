"""The state of one version: what the tests know, and which objects they know it from.

Both are one object of S3. So whatever kills a run, an object's requests are counted as often as its key is
remembered.
"""

import zlib

import msgspec

from handlers.monitor.cursor import Cursor
from handlers.monitor.history import History
from handlers.monitor.pressed import NotWatchable
from monitoring.captures import Tally
from monitoring.drift import RECENT as RECENT_PLACES
from monitoring.labels import Join
from monitoring.quality import Quality

SCHEMA_VERSION = 1
RECENT = 200  # values of a share, and errors
_MOST = 256 * 1024**2


class Place(msgspec.Struct, array_like=True):
    """Of one of the last requests: what the client called it, when it came, and in which object it lies."""

    id: str
    time: float
    key: str


class Example(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A request that shows what moved: its inputs in a few words, or as small pictures (data URLs)."""

    id: str
    time: float
    values: dict[str, str] = {}
    pictures: dict[str, str] = {}


class Tested(msgspec.Struct, kw_only=True):
    """A share that is watched: the test, once its figure is known, and what it was lately.

    ``learning``: the values by which the figure is to be known. ``recent``: the last ones, and their
    ``errors`` where answers are numbers, ranked in ``urn`` (monitoring/deviation.py). ``says``: what is said
    of the share, as in "are right". ``alarm_time``: when the value came that raised the alarm. ``unknown``:
    why nothing is known.
    """

    test: Quality | None = None
    learning: list[float] = []
    recent: list[float] = []
    errors: list[float] = []
    urn: list[float] = []
    says: str = ""
    alarm_time: float | None = None
    unknown: str = ""


class Watched(msgspec.Struct, kw_only=True):
    """What watching one version needs between two runs.

    ``monitor`` is the drift test's state (monitoring/monitor.py), ``seen`` which requests were read
    (captures.py).
    ``totals`` counts since the beginning: ``labels``, ``replayed``, ``not comparable``, ``wrong labels``.
    ``label_keys`` are objects of labels that were read, put after ``labels_since``.
    """

    digest: str
    version: str
    begun: float
    monitor: bytes = b""
    seen: bytes = b""
    join: Join
    tally: Tally
    cursor: Cursor
    labels_since: float = 0.0
    label_keys: list[str] = []
    quality: Tested
    agreement: Tested
    history: History
    places: list[Place] = []
    examples: list[Example] = []
    examples_at: float = 0.0
    drift_time: float | None = None
    last_request: float | None = None
    was_silent: bool = False
    updated: float = 0.0
    totals: dict[str, int] = {}
    schema_version: int = SCHEMA_VERSION

    def count(self, what: str, number: int = 1) -> None:
        """Add to a total."""
        self.totals[what] = self.totals.get(what, 0) + number

    def remember(self, places: list[Place]) -> None:
        """Where the last requests lie."""
        self.places = [*self.places, *places][-RECENT_PLACES:]


def begin(digest: str, version: str, now: float) -> Watched:
    """Before the first run."""
    return Watched(
        digest=digest,
        version=version,
        begun=now,
        join=Join(),
        tally=Tally(),
        cursor=Cursor(),
        quality=Tested(),
        agreement=Tested(),
        history=History(),
    )


def encode(watched: Watched) -> bytes:
    """As an object of S3."""
    return zlib.compress(msgspec.msgpack.encode(watched), 1)


def decode(data: bytes) -> Watched:
    """What ``encode`` gave.

    Raises:
        NotWatchable: it is something else.
    """
    try:
        inflater = zlib.decompressobj()
        return msgspec.msgpack.decode(inflater.decompress(data, _MOST), type=Watched)
    except (zlib.error, msgspec.DecodeError):
        raise NotWatchable(
            "the monitor's state is damaged or another release's: run `coldpress watch NAME --begin-anew`."
        ) from None
