"""One run of one version: what is new is looked at, saved in one step, and told."""

import hashlib
import time
from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any, NamedTuple

import msgspec
import numpy as np

from bundle.manifest import Manifest
from handlers.monitor import watched as states
from handlers.monitor.examples import Examples
from handlers.monitor.history import Series
from handlers.monitor.pressed import Pressed
from handlers.monitor.replay import NoOriginal, NotComparable, Original
from handlers.monitor.store import Saved, Store
from handlers.monitor.truth import LEARNED, is_right, predicted_by, predictions, tested, verified_quality
from handlers.monitor.watched import Place, Tested, Watched
from monitoring.captures import Batch, Seen, Tally, Wanted, batches, lines
from monitoring.features import Rows, SchemaMismatch
from monitoring.labels import Joined, WrongLabel, read_line
from monitoring.monitor import Monitor
from monitoring.quality import advance
from monitoring.silence import is_silent

SAVE_SECONDS = 60.0  # of work that a killed run loses at most
_RECENT = 200
# A capture is so late: Firehose gathers for five minutes.
_DELIVERY_S = 600.0
_WEEK_S = 7 * 86_400.0
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
        self._monitor = self._go_on()
        self._seen = Seen(self._state.seen)
        self._predicted = predicted_by(pressed.baseline, pressed.manifest)
        self._open_original = open_original
        self._original: Original | None = None
        self._counts: dict[str, float] = {}
        self._is_changed = False
        self._last_save = time.monotonic()

    def work(self) -> News:
        """Look at all that is new, as far as the time goes.

        Raises:
            Moved: another run saved this version's state meanwhile: what this one did since counts nowhere.
        """
        self._expect()
        unread = self._read_captures()
        if unread is None:
            self._read_labels()
        silent = self._is_silent()
        self._is_changed |= silent != self._state.was_silent
        self._state.was_silent = silent
        if self._state.examples_at == 0 or self._is_changed:
            Examples(self._store, self._pressed).refresh(self._state, self._monitor, self._now)
        self._save(unread)
        return News(self._state, self._monitor, self._counts, silent, unread is None)

    def _go_on(self) -> Monitor:
        """From where it was; anew where other captures are kept now, or the state is of another release."""
        try:
            return Monitor(self._pressed.baseline, self._state.monitor or None)
        except msgspec.ValidationError:
            self._state.places, self._state.drift_time = [], None
            return Monitor(self._pressed.baseline)

    def _is_silent(self) -> bool:
        """Only once a week is known: else the first night would be an alarm."""
        traffic = self._monitor.state.traffic
        if traffic.first is None or self._now - traffic.first < _WEEK_S:
            return False
        return is_silent(traffic, self._now - _DELIVERY_S)

    def _expect(self) -> None:
        """The figures that the shares are tested against, as far as they are known."""
        state, manifest = self._state, self._pressed.manifest
        state.join.rate = self._limits.capture_rate
        if state.quality.test is None:
            state.quality.test = verified_quality(manifest, self._pressed.baseline, self._limits.max_drop)
        is_kept = any(tensor.side == "outputs" for tensor in self._pressed.baseline.tensors)
        why = "the model predicts no classes" if is_kept else "the answers are not kept"
        state.quality.unknown = "" if self._predicted else why
        if state.agreement.test is None and manifest.metric.name == "agreement":
            metric = manifest.metric
            state.agreement.test = tested(metric.after, metric.samples, self._limits.max_drop)

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

    def _read_object(self, key: str) -> None:
        tally = self._state.tally
        wanted = Wanted(self._pressed.baseline.tensors, self._pressed.manifest.digest)
        before = dict(tally.counts)
        redacted = tally.counts.get("redacted", 0)
        name = key.rpartition("/")[2]
        for batch in batches(self._store.chunks(key), wanted, self._seen, tally, name=name):
            is_redacted = tally.counts.get("redacted", 0) > redacted
            redacted = tally.counts.get("redacted", 0)
            self._look_at(batch, key, is_redacted=is_redacted)
        for what in ("read", "damaged", "other schema", "misfit", "cut"):
            self._count(what, tally.counts.get(what, 0) - before.get(what, 0))

    def _look_at(self, batch: Batch, key: str, *, is_redacted: bool) -> None:
        state = self._state
        count = self._monitor.state.evidence.count
        is_raised = self._monitor.alarm is not None
        try:
            # Requests without inputs are told apart by their answers.
            self._monitor.update(batch.inputs or batch.outputs, batch.outputs, batch.times)
        except SchemaMismatch as error:
            state.tally.note("misfit", key.rpartition("/")[2], str(error), len(set(batch.ids)))
            return
        times = batch.times.tolist()
        state.last_request = max(times[-1], state.last_request or 0.0)
        state.remember([Place(one, moment, key) for one, moment in zip(batch.ids, times, strict=True)])
        if self._monitor.alarm is not None and not is_raised:
            state.drift_time = times[min(max(self._monitor.alarm.request - count, 0), len(times) - 1)]
        point = state.history.at(times[-1])
        point.requests += len(times)
        point.drift = max(point.drift, float(self._monitor.evidence.max(initial=0.0)))
        for request in _requests(batch):
            self._predict(request)
            if is_redacted:
                self._state.agreement.unknown = "something of the requests is redacted"
            else:
                self._replay(request)

    def _predict(self, request: Batch) -> None:
        if self._predicted is None or self._predicted.name not in request.outputs:
            return
        joined = self._state.join.predicted(request.ids[0], predictions(self._predicted, request.outputs))
        self._judge(joined)

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
                self._judge(self._state.join.labelled(read_line(line)))
            except WrongLabel:
                self._state.count("wrong labels")
        for what in tally.counts:
            self._state.count("wrong labels", tally.counts[what])

    def _judge(self, joined: Joined | None) -> None:
        if joined is None:
            return
        try:
            pairs = list(joined.pairs())
        except WrongLabel:
            self._state.count("wrong labels")
            return
        labels = self._pressed.manifest.class_labels
        values = [float(is_right(prediction, label, labels)) for prediction, label in pairs]
        self._test(self._state.quality, values, ("quality", "right", "labels"))
        self._count("labels", len(values))
        self._count("right", sum(values))

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
        self._test(agreement, values, ("agreement", "agreed", "replayed"))
        self._count("replayed", len(values))
        self._count("agreed", sum(values))

    def _test(self, tested_share: Tested, values: list[float], names: tuple[Series, str, str]) -> None:
        """Add values to a test, or to what it learns its figure from."""
        evidence, total, count = names
        tested_share.recent = [*tested_share.recent, *values][-_RECENT:]
        moment = self._state.last_request or self._now
        point = self._state.history.at(moment)
        setattr(point, total, getattr(point, total) + sum(values))
        setattr(point, count, getattr(point, count) + len(values))
        if tested_share.test is None:
            tested_share.learning += values
            if len(tested_share.learning) >= LEARNED:
                share = float(np.mean(tested_share.learning))
                tested_share.test = tested(share, len(tested_share.learning), self._limits.max_drop)
                tested_share.learning = []
            return
        was_raised = tested_share.test.alarm_at is not None
        advance(tested_share.test, np.array(values))
        if tested_share.test.alarm_at is not None and not was_raised:
            tested_share.alarm_time = moment
        setattr(point, evidence, max(getattr(point, evidence), tested_share.test.evidence))

    def _save(self, unread: str | None) -> None:
        """Put it in place of what was read, if anything changed; and once an hour, as what is old goes."""
        state = self._state
        if not self._is_changed and self._saved is not None and self._now - state.updated < _LABELS_OVERLAP_S:
            return
        state.cursor.advance(self._store.captures, self._now, unread)
        state.monitor, state.seen, state.updated = self._monitor.encode(), self._seen.encode(), self._now
        self._saved = self._store.save(state.digest, states.encode(state), self._saved)
        self._last_save, self._is_changed = time.monotonic(), False

    def _count(self, what: str, number: float) -> None:
        if number:
            self._counts[what] = self._counts.get(what, 0) + number


def _requests(batch: Batch) -> Iterator[Batch]:
    """The rows of each request, which lie together."""
    start = 0
    for inference_id, group in groupby(batch.ids):
        end = start + sum(1 for _ in group)
        yield Batch(
            [inference_id],
            batch.times[start:end],
            {name: rows[start:end] for name, rows in batch.inputs.items()},
            {name: rows[start:end] for name, rows in batch.outputs.items()},
        )
        start = end


def _arrays(tensors: dict[str, Rows]) -> dict[str, Any]:
    return {name: rows if isinstance(rows, np.ndarray) else np.stack(rows) for name, rows in tensors.items()}


def _is_among(inference_id: str, share: float) -> bool:
    """By a hash that has nothing to do with the one by which requests are captured."""
    digest = hashlib.blake2b(
        inference_id.encode(errors="replace"), digest_size=8, person=b"agreement"
    ).digest()
    return int.from_bytes(digest, "big") < share * _CHANCES
