"""Requests and labels in, what is known of one version out: the same wherever they come from."""

import msgspec
import numpy as np

from handlers.monitor.history import Series
from handlers.monitor.pressed import Pressed
from handlers.monitor.truth import LEARNED, Truth, Unknown, tested, truth_of
from handlers.monitor.watched import RECENT, Place, Tested, Watched
from monitoring.captures import Batch, requests_of
from monitoring.features import SchemaMismatch
from monitoring.labels import Joined, WrongLabel
from monitoring.monitor import Monitor
from monitoring.quality import advance
from monitoring.silence import is_silent

# A capture is so late: Firehose gathers for five minutes.
_DELIVERY_S = 600.0
_WEEK_S = 7 * 86_400.0


class Look:
    """Advances a version's state; ``counts`` are of what this one has seen.

    Args:
        state: as it was; changed in place, but for the monitor's part, which ``monitor`` holds.
        pressed: the bundle.
        max_drop: by how much less may be right, or agree, than was verified.
        now: seconds since 1970.
    """

    def __init__(self, state: Watched, pressed: Pressed, *, max_drop: float, now: float) -> None:
        self.state, self.counts = state, dict[str, float]()
        self._pressed, self._max_drop, self._now = pressed, max_drop, now
        self.monitor = self._go_on()
        self._truth: Truth | None = None
        self._expect()

    def _go_on(self) -> Monitor:
        """From where it was; anew where other captures are kept now, or the state is of another release."""
        try:
            return Monitor(self._pressed.baseline, self.state.monitor or None)
        except msgspec.ValidationError:
            self.state.places, self.state.drift_time = [], None
            return Monitor(self._pressed.baseline)

    def _expect(self) -> None:
        """The figures that the shares are tested against, as far as they are known."""
        state, manifest = self.state, self._pressed.manifest
        state.quality.unknown = ""
        try:
            self._truth = truth_of(self._pressed.baseline, manifest)
        except Unknown as unknown:
            state.quality.unknown = str(unknown)
        else:
            state.quality.says = self._truth.says
            state.quality.test = state.quality.test or self._truth.test(self._max_drop)
        state.agreement.says = "agree with the original model"
        if state.agreement.test is None and manifest.metric.name == "agreement":
            metric = manifest.metric
            state.agreement.test = tested(metric.after, metric.samples, self._max_drop)

    def look_at(self, batch: Batch, key: str) -> bool:
        """Requests in their order, which lie in the object ``key``; False where they do not fit."""
        state = self.state
        count = self.monitor.state.evidence.count
        is_raised = self.monitor.alarm is not None
        try:
            self.monitor.update(batch.inputs, batch.outputs, batch.times)
        except SchemaMismatch as error:
            state.tally.note("misfit", key.rpartition("/")[2], str(error), len(set(batch.ids)))
            return False
        times = batch.times.tolist()
        state.last_request = max(times[-1], state.last_request or 0.0)
        state.remember([Place(one, moment, key) for one, moment in zip(batch.ids, times, strict=True)])
        if self.monitor.alarm is not None and not is_raised:
            state.drift_time = times[min(max(self.monitor.alarm.request - count, 0), len(times) - 1)]
        point = state.history.at(times[-1])
        point.requests += len(times)
        point.drift = max(point.drift, float(self.monitor.evidence.max(initial=0.0)))
        if self._truth is not None and self._truth.output in batch.outputs:
            for request in requests_of(batch):
                predicted = self._truth.predictions(request.outputs[self._truth.output])
                self.judge(state.join.predicted(request.ids[0], predicted))
        return True

    def judge(self, joined: Joined | None) -> None:
        """Hold what was predicted for a request against its label, once both are there."""
        if joined is None or self._truth is None:
            return
        try:
            values = self._truth.values(joined.pairs(), self.state.quality)
        except WrongLabel:
            self.state.count("wrong labels")
            return
        self.test(self.state.quality, values, ("quality", "right", "labels"))
        self.count("labels", len(values))
        self.count("right", sum(values))

    def test(self, tested_share: Tested, values: list[float], names: tuple[Series, str, str]) -> None:
        """Add values to a test, or to what it learns its figure from."""
        evidence, total, count = names
        tested_share.recent = [*tested_share.recent, *values][-RECENT:]
        moment = self.state.last_request or self._now
        point = self.state.history.at(moment)
        setattr(point, total, getattr(point, total) + sum(values))
        setattr(point, count, getattr(point, count) + len(values))
        if tested_share.test is None:
            tested_share.learning += values
            if len(tested_share.learning) >= LEARNED:
                share = float(np.mean(tested_share.learning))
                tested_share.test = tested(share, len(tested_share.learning), self._max_drop)
                tested_share.learning = []
            return
        was_raised = tested_share.test.alarm_at is not None
        advance(tested_share.test, np.array(values))
        if tested_share.test.alarm_at is not None and not was_raised:
            tested_share.alarm_time = moment
        setattr(point, evidence, max(getattr(point, evidence), tested_share.test.evidence))

    def is_silent(self, now: float) -> bool:
        """Only once a week is known: else the first night would be an alarm."""
        traffic = self.monitor.state.traffic
        if traffic.first is None or now - traffic.first < _WEEK_S:
            return False
        return is_silent(traffic, now - _DELIVERY_S)

    def count(self, what: str, number: float) -> None:
        """Add to a count."""
        if number:
            self.counts[what] = self.counts.get(what, 0) + number
