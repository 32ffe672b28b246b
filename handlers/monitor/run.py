"""One run of one version: what is new is looked at, saved in one step, and told."""

import hashlib
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from bundle.manifest import Manifest
from handlers.monitor import watched as states
from handlers.monitor.examples import Examples
from handlers.monitor.look import Look
from handlers.monitor.pressed import Pressed
from handlers.monitor.replay import NoOriginal, NotComparable, Original
from handlers.monitor.store import Saved, Store
from handlers.monitor.watched import Watched
from monitoring.captures import Batch, Seen, Tally, Wanted, batches, lines, requests_of
from monitoring.features import Rows
from monitoring.labels import WrongLabel, read_line
from monitoring.monitor import Monitor

SAVE_SECONDS = 60.0  # of work that a killed run loses at most
_LABELS_OVERLAP_S = 3600.0
_CHANCES = 2**64
OpenOriginal = Callable[[Manifest], Original]


class Limits(NamedTuple):
    """What a run may do: until when, by ``time.monotonic``, it reads and replays; and the shares."""

    due: float
    replay_due: float
    capture_rate: float
    agreement_share: float
    max_drop: float


class News(NamedTuple):
    """What a run has found and saved; ``counts`` are of this run alone."""

    watched: Watched
    monitor: Monitor
    counts: dict[str, float]
    is_silent: bool
    is_done: bool


class Run:
    """One version, from the state that was saved to the one that is.

    Args:
        store: the captures.
        pressed: the bundle.
        version: the registry's number.
        now: seconds since 1970.
        limits: see there.
        open_original: gives the original model, or raises NoOriginal.
    """

    def __init__(  # noqa: PLR0913 - what a run needs
        self,
        store: Store,
        pressed: Pressed,
        version: str,
        *,
        now: float,
        limits: Limits,
        open_original: OpenOriginal,
    ) -> None:
        self._store, self._pressed, self._now, self._limits = store, pressed, now, limits
        self._saved: Saved | None = store.load(pressed.manifest.digest)
        if self._saved is None:
            self._state = states.begin(pressed.manifest.digest, version, now)
            self._state.cursor.advance(store.captures, now, None)
        else:
            self._state = states.decode(self._saved.data)
        self._look = Look(self._state, pressed, max_drop=limits.max_drop, now=now)
        self._state.join.rate = limits.capture_rate
        self._seen = Seen(self._state.seen)
        self._wanted = Wanted(pressed.baseline.tensors, pressed.manifest.digest)
        self._open_original = open_original
        self._original: Original | None = None
        self._is_changed = False
        self._last_save = time.monotonic()

    def work(self) -> News:
        """Look at all that is new, as far as the time goes.

        Raises:
            Moved: another run saved this version's state meanwhile: what this one did since counts nowhere.
        """
        unread = self._read_captures()
        if unread is None:
            self._read_labels()
        silent = self._look.is_silent(self._now)
        self._is_changed |= silent != self._state.was_silent
        self._state.was_silent = silent
        if self._state.examples_at == 0 or self._is_changed:
            Examples(self._batches).refresh(self._state, self._look.monitor, self._now)
        self._save(unread)
        return News(self._state, self._look.monitor, self._look.counts, silent, unread is None)

    def _read_captures(self) -> str | None:
        """The first key that was left for the next run."""
        cursor = self._state.cursor
        for key in self._store.keys(cursor.since):
            if cursor.is_done(key):
                continue
            if time.monotonic() > self._limits.due:
                return key
            self._read_object(key)
            cursor.add(key)
            self._is_changed = True
            if time.monotonic() - self._last_save > SAVE_SECONDS:
                self._save(key)
        return None

    def _batches(self, key: str) -> Iterator[Batch]:
        """An object's requests once more."""
        yield from batches(self._store.chunks(key), self._wanted, Seen(), Tally())

    def _read_object(self, key: str) -> None:
        tally = self._state.tally
        before = dict(tally.counts)
        redacted = tally.counts.get("redacted", 0)
        name = key.rpartition("/")[2]
        for batch in batches(self._store.chunks(key), self._wanted, self._seen, tally, name=name):
            is_redacted = tally.counts.get("redacted", 0) > redacted
            redacted = tally.counts.get("redacted", 0)
            self._look_at(batch, key, is_redacted=is_redacted)
        for what in ("read", "damaged", "other schema", "misfit", "cut"):
            self._look.count(what, tally.counts.get(what, 0) - before.get(what, 0))

    def _look_at(self, batch: Batch, key: str, *, is_redacted: bool) -> None:
        if not self._look.look_at(batch, key):
            return
        if is_redacted:
            self._state.agreement.unknown = "something of the requests is redacted"
            return
        for request in requests_of(batch):
            self._replay(request)

    def _read_labels(self) -> None:
        """Objects of labels are named by their content, so what is new is known by when it was put."""
        state = self._state
        known, kept, newest = set(state.label_keys), [], state.labels_since
        for found in self._store.label_objects():
            put = found.put.timestamp()
            if put <= state.labels_since - _LABELS_OVERLAP_S:
                continue
            kept.append((put, found.key))
            newest = max(newest, put)
            if found.key not in known:
                self._read_label_object(found.key)
                self._is_changed = True
        state.labels_since = newest
        state.label_keys = [key for put, key in kept if put > newest - _LABELS_OVERLAP_S]

    def _read_label_object(self, key: str) -> None:
        tally = Tally()
        for line in lines(self._store.chunks(key), tally, key.rpartition("/")[2]):
            try:
                self._look.judge(self._state.join.labelled(read_line(line)))
            except WrongLabel:
                self._state.count("wrong labels")
        for what in tally.counts:
            self._state.count("wrong labels", tally.counts[what])

    def _replay(self, request: Batch) -> None:
        share = self._limits.agreement_share
        if not share or not _is_among(request.ids[0], share):
            return
        if time.monotonic() > self._limits.replay_due:
            self._state.count("not replayed")
            return
        agreement = self._state.agreement
        if not request.inputs or not request.outputs:
            agreement.unknown = "inputs and answers are not both kept"
            return
        try:
            if self._original is None:
                self._original = self._open_original(self._pressed.manifest)
            agreement.unknown = ""
            values = self._original.agreement(_arrays(request.inputs), _arrays(request.outputs))
        except NoOriginal as error:
            agreement.unknown = f"there is no original model: {error}"
            self._limits = self._limits._replace(agreement_share=0.0)
            return
        except NotComparable as error:
            self._state.count("not comparable")
            agreement.unknown = agreement.unknown or f"the original cannot be compared: {error}"
            return
        self._look.test(agreement, values, ("agreement", "agreed", "replayed"))
        self._look.count("replayed", len(values))
        self._look.count("agreed", sum(values))

    def _save(self, unread: str | None) -> None:
        """Put it in place of what was read, if anything changed; and once an hour, as what is old goes."""
        state = self._state
        if not self._is_changed and self._saved is not None and self._now - state.updated < _LABELS_OVERLAP_S:
            return
        state.cursor.advance(self._store.captures, self._now, unread)
        state.monitor, state.seen, state.updated = self._look.monitor.encode(), self._seen.encode(), self._now
        self._saved = self._store.save(state.digest, states.encode(state), self._saved)
        self._last_save, self._is_changed = time.monotonic(), False


def _arrays(tensors: dict[str, Rows]) -> dict[str, Any]:
    return {name: rows if isinstance(rows, np.ndarray) else np.stack(rows) for name, rows in tensors.items()}


def _is_among(inference_id: str, share: float) -> bool:
    """By a hash that has nothing to do with the one by which requests are captured."""
    digest = hashlib.blake2b(
        inference_id.encode(errors="replace"), digest_size=8, person=b"agreement"
    ).digest()
    return int.from_bytes(digest, "big") < share * _CHANCES
