"""Our own rows: when changes are found and named, how often clean streams alarm, and what it costs."""

import subprocess
import sys
import time
from dataclasses import dataclass, field

import numpy as np

from benchmarks.monitors.drifts import Drift, rotation, stream
from benchmarks.monitors.subjects import Array, Subject, subject
from monitoring import deviation, drift, quality
from monitoring.baseline import encode
from monitoring.build import build
from monitoring.explain import explain
from monitoring.monitor import Monitor

BATCH = 10
AFTER = 3000


@dataclass
class Found:
    """Of one change, by seed: requests to the alarm (none: never), and whether the column was named."""

    delays: list[int | None] = field(default_factory=list)
    named: list[bool] = field(default_factory=list)
    false: int = 0


@dataclass(frozen=True)
class Clean:
    """Clean streams of one population: how many alarmed, and the most evidence that each reached."""

    subject: str
    baseline: int
    length: int
    alarms: int
    evidence: list[float]


def begin(source: Subject, random: np.random.Generator, count: int) -> Monitor:
    """With a baseline of ``count`` samples."""
    x, _ = source.draw(random, count, None)
    return Monitor(build(source.as_inputs(x), source.answer(x)))


def look(monitor: Monitor, source: Subject, x: Array) -> None:
    """At these requests."""
    monitor.update(source.as_inputs(x), source.answer(x))


def find(change: Drift, seeds: int, count: int) -> Found:
    """Watch a change."""
    found = Found()
    source = subject(change.subject)
    for seed in range(seeds):
        random = np.random.default_rng([seed, count])
        monitor = begin(source, random, count)
        x, _, at = stream(change, random, AFTER)
        for start in range(0, len(x), BATCH):
            look(monitor, source, x[start : start + BATCH])
            if monitor.alarm is not None:
                break
        if monitor.alarm is not None and monitor.alarm.request < at:
            found.false += 1
            continue
        found.delays.append(monitor.alarm.request + 1 - at if monitor.alarm else None)
        if monitor.alarm is not None and change.column is not None:
            columns = [one.feature for one in explain(monitor) if one.feature in source.columns]
            found.named.append(columns[:1] == [source.columns[change.column]])
    return found


def watch_clean(name: str, streams: int, length: int, count: int) -> Clean:
    """Streams without a change, each with a baseline of its own."""
    source = subject(name)
    evidence, alarms = [], 0
    for number in range(streams):
        random = np.random.default_rng([7, number, count])
        monitor = begin(source, random, count)
        for start in range(0, length, 1000):
            x, _ = source.draw(random, min(1000, length - start), None)
            look(monitor, source, x)
        alarms += monitor.alarm is not None
        evidence.append(max(monitor.state.evidence.history))
    return Clean(name, count, length, alarms, evidence)


def bound_kept(clean: list[Clean]) -> dict[str, list[float]]:
    """By k, the share of streams with evidence of at least k N / c, and the most allowed: 1 / k."""
    return {
        str(k): [
            float(np.mean([e >= k * c.length / drift.THRESHOLD for c in clean for e in c.evidence])),
            1 / k,
        ]
        for k in (2, 5, 10, 20, 50)
    }


def cost(name: str, count: int) -> dict[str, float]:
    """CPU seconds per 1,000 requests in batches of as many (the best of five), and kilobytes."""
    source = subject(name)
    random = np.random.default_rng(0)
    monitor = begin(source, random, count)
    times = []
    for _ in range(5):
        x, _ = source.draw(random, 1000, None)
        inputs, answers = source.as_inputs(x), source.answer(x)
        start = time.process_time()
        monitor.update(inputs, answers)
        times.append(time.process_time() - start)
    return {
        "CPU s per 1,000": min(times),
        "state kB": len(monitor.encode()) / 1e3,
        "baseline kB": len(encode(monitor.baseline)) / 1e3,
    }


def import_seconds() -> float:
    """CPU seconds of importing the monitor when numpy and msgspec are there."""
    code = (
        "import time, numpy, msgspec; start = time.process_time(); "
        "import monitoring.monitor, monitoring.explain; print(time.process_time() - start)"
    )
    run = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        for _ in range(3)
    ]
    return min(float(one.stdout) for one in run)


def watch_rhythm(*, smooth: bool) -> dict[str, int | None]:
    """Digits of which others come by day than by night, a week for the baseline and two weeks after it.

    The mix is the same for four hours, or with ``smooth`` another one every hour. Returns the request of the
    first alarm, without seasons and with them; and, with them, requests to the alarm of turned digits.
    """
    source, random = subject("digits"), np.random.default_rng(0)

    def draw(days: range, each: int) -> tuple[Array, Array]:
        x, times = [], []
        for hour in (day * 24 + hour for day in days for hour in range(24)):
            part = hour % 24 if smooth else hour % 24 // 4 * 4
            lean = np.sin(2 * np.pi * part / 24)
            x.append(
                source.draw(random, each, lambda y, lean=lean: 1 + 0.8 * lean * np.where(y < 5, 1, -1))[0]
            )
            times.append(hour * 3600 + np.sort(random.random(each)) * 3600)
        return np.concatenate(x), np.concatenate(times)

    x, times = draw(range(7), 30)
    order = random.permutation(len(x))
    x, times = x[order], times[order]
    blind = Monitor(build(source.as_inputs(x), source.answer(x)))
    seasonal = Monitor(build(source.as_inputs(x), source.answer(x), times=times, seasons="day"))
    x, times = draw(range(7, 21), 30)
    for monitor in (blind, seasonal):
        monitor.update(source.as_inputs(x), source.answer(x), times)
    alarms = [one.alarm.request if one.alarm else None for one in (blind, seasonal)]
    x, times = draw(range(21, 22), 30)
    x = rotation(12)(random, x)
    before = seasonal.state.evidence.count
    seasonal.update(source.as_inputs(x), source.answer(x), times)
    found = seasonal.alarm.request + 1 - before if seasonal.alarm and alarms[1] is None else None
    return {"without seasons": alarms[0], "with seasons": alarms[1], "turned by 12 degrees": found}


def watch_quality() -> dict[str, float]:
    """Accuracy from 95 to 90 per cent after 500 labels; and false alarms in 2,000 labels."""
    random = np.random.default_rng(0)
    delays, false = [], 0
    for _ in range(1000):
        state = quality.Quality(verified=0.95, samples=0)
        quality.advance(state, random.random(500) < 0.95)
        while state.alarm_at is None:
            quality.advance(state, random.random(50) < 0.90)
        delays.append(state.alarm_at + 1 - 500)
    for _ in range(2000):
        state = quality.Quality(verified=0.95, samples=0)
        quality.advance(state, random.random(2000) < 0.95)
        false += state.alarm_at is not None
    return {"median": float(np.median(delays)), "mean": float(np.mean(delays)), "false share": false / 2000}


def watch_errors(samples: int, streams: int) -> dict[str, float]:
    """The RMSE of diamonds' prices 30 per cent up after 500 labels; and false alarms in 2,000 labels.

    It is that of their logarithms, which the model was trained on; each stream has verified samples of its
    own. The default of ``quality.max_drop`` is allowed.
    """
    source, random = subject("diamonds"), np.random.default_rng(0)
    delays, false = [], 0
    for _ in range(streams):
        x, y = source.draw(random, samples + 3500, None)
        errors = np.abs(np.log(source.answer(x)["price"].reshape(-1)) - y)
        known = deviation.measure("price", "rmse", errors[:samples].tolist())
        assert known is not None  # noqa: S101 - enough samples
        clean = quality.Quality(verified=deviation.EXPECTED - 0.01, samples=0)
        urn: list[float] = []
        values = deviation.nearness(known, urn, errors[samples : samples + 2000].tolist())
        quality.advance(clean, np.array(values))
        false += clean.alarm_at is not None
        changed = quality.Quality(verified=deviation.EXPECTED - 0.01, samples=0)
        urn = []
        stream = np.concatenate([errors[samples : samples + 500], 1.3 * errors[samples + 500 :]])
        for start in range(0, len(stream), 100):
            quality.advance(changed, np.array(deviation.nearness(known, urn, stream[start : start + 100])))
            if changed.alarm_at is not None:
                break
        delays.append(np.inf if changed.alarm_at is None else changed.alarm_at + 1 - 500)
    return {
        "median": float(np.median(delays)),
        "found within 3,000": float(np.isfinite(delays).mean()),
        "false share": false / streams,
    }
