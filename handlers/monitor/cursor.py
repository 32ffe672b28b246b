"""Which captured objects were read, however late, twice or out of order they come.

Objects lie in folders by hour, and an object may appear in a folder that is hours old: Firehose tries a
delivery for a day. So what was read is remembered by key, for the folders of the last ``WINDOW_HOURS``; older
folders are not listed any more.
"""

import hashlib
from datetime import UTC, datetime

import msgspec

WINDOW_HOURS = 26
_HOUR_S = 3600
_MOST = 20_000  # keys that are remembered
_SIZE = 8  # bytes of a key's hash


class Cursor(msgspec.Struct, kw_only=True):
    """``since``: the first folder that is listed; ``done``: by folder, hashes of the keys that were read."""

    since: str = ""
    done: dict[str, bytes] = {}

    def is_done(self, key: str) -> bool:
        """Whether the object was read."""
        known, wanted = self.done.get(_folder(key), b""), _hash(key)
        at = known.find(wanted)
        while at % _SIZE and at >= 0:  # within two others
            at = known.find(wanted, at + 1)
        return at >= 0

    def add(self, key: str) -> None:
        """The object was read."""
        self.done[_folder(key)] = self.done.get(_folder(key), b"") + _hash(key)

    def advance(self, prefix: str, now: float, unread: str | None) -> None:
        """Forget what is so old that nothing comes any more; ``unread``: the first key left for later."""
        floor = folder_at(prefix, now - WINDOW_HOURS * _HOUR_S)
        if unread is not None:
            floor = min(floor, _folder(unread))
        self.since = max(self.since, floor)
        folders = sorted(folder for folder in self.done if folder >= self.since)
        while sum(len(self.done[folder]) for folder in folders) > _MOST * _SIZE and len(folders) > 1:
            self.since = folders[1]
            del folders[0]
        self.done = {folder: self.done[folder] for folder in folders}


def folder_at(prefix: str, moment: float) -> str:
    """Where captures of this hour lie; folders sort as their hours do."""
    return datetime.fromtimestamp(moment, UTC).strftime(f"{prefix}date=%Y-%m-%d/hour=%H/")


def _folder(key: str) -> str:
    return key.rpartition("/")[0] + "/"


def _hash(key: str) -> bytes:
    return hashlib.blake2b(key.encode(), digest_size=_SIZE).digest()
