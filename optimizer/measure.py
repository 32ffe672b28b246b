"""How fast: candidates and the original run in turns, so that both meet the same machine.

Times are CPU times of the thread that runs the session. On a core that nobody else uses they are the times on
the clock; on a busy machine they do not count what other programs took.
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
import onnxruntime as ort

from optimizer.runtime import Feeds, serving_session

_MIN_ROUNDS, _MAX_ROUNDS = 11, 150
_COLD_STARTS = 3
_RESAMPLES = 500
_MS_FOR_A_MEGABYTE = 10.0


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """One model's time beside the original's in the same rounds: ms a run, and original / model.

    ``low`` and ``high`` bound the ratio at 95 %.
    """

    ms: float
    original_ms: float
    ratio: float
    low: float
    high: float


class ColdStart(msgspec.Struct, frozen=True, kw_only=True):
    """From a file to the first answer: ms of CPU time, and bytes of the file that are needed for it."""

    ms: float
    touched_bytes: int

    @property
    def cost(self) -> float:
        """Both in ms. A megabyte counts 10: on Lambda it comes over a network first."""
        return self.ms + _MS_FOR_A_MEGABYTE * self.touched_bytes / 1e6


def latencies(
    original: ort.InferenceSession,
    sessions: Mapping[str, ort.InferenceSession],
    feeds: Sequence[Feeds],
    budget_s: float,
    seed: int = 0,
) -> dict[str, Latency]:
    """Time models against the original, on one thread.

    A round runs every session on every one of ``feeds``, in an order that turns; rounds go on until the
    budget is spent (at least 11, at most 150). A model's time is the sum over the feeds of the median over
    the rounds.
    """
    names: list[str | None] = [None, *sessions]
    every: dict[str | None, ort.InferenceSession] = {None: original}
    every.update(sessions)
    for session in every.values():
        for feed in [*feeds, feeds[0], feeds[0]]:
            session.run(None, dict(feed))
    rounds: list[list[list[float]]] = []
    start = time.perf_counter()
    while len(rounds) < _MIN_ROUNDS or (len(rounds) < _MAX_ROUNDS and time.perf_counter() - start < budget_s):
        turn = len(rounds) % len(names)
        took: dict[str | None, list[float]] = {}
        for name in [*names[turn:], *names[:turn]]:
            took[name] = [_time(every[name], feed) for feed in feeds]
        rounds.append([took[name] for name in names])
    times = np.array(rounds)
    chosen = np.random.default_rng(seed).integers(0, len(rounds), (_RESAMPLES, len(rounds)))
    medians = np.median(times, axis=0).sum(axis=-1)
    resampled = np.median(times[chosen], axis=1).sum(axis=-1)
    return {
        name: Latency(
            ms=float(medians[index] / len(feeds) * 1e3),
            original_ms=float(medians[0] / len(feeds) * 1e3),
            ratio=float(medians[0] / medians[index]),
            low=float(np.quantile(resampled[:, 0] / resampled[:, index], 0.025)),
            high=float(np.quantile(resampled[:, 0] / resampled[:, index], 0.975)),
        )
        for index, name in enumerate(names)
        if name is not None
    }


def _time(session: ort.InferenceSession, feed: Feeds) -> float:
    start = time.thread_time()
    session.run(None, dict(feed))
    return time.thread_time() - start


def cold_starts(paths: Mapping[str, Path], feed: Feeds) -> dict[str, ColdStart]:
    """Creating a session as a server does and running it once, the files taking turns.

    The median time in this process, with the files cached.
    """
    taken: dict[str, list[float]] = {name: [] for name in paths}
    touched: dict[str, int] = {}
    for _ in range(_COLD_STARTS):
        for name, path in paths.items():
            start = time.process_time()
            session = serving_session(path)
            session.run(None, dict(feed))
            taken[name].append(time.process_time() - start)
            if name not in touched:
                touched[name] = _touched(path)
    return {
        name: ColdStart(ms=float(np.median(times) * 1e3), touched_bytes=touched[name])
        for name, times in taken.items()
    }


def _touched(path: Path) -> int:
    """The bytes of a mapped file that are in this process's page tables; all of one that was read instead."""
    size = path.stat().st_size
    mapped = in_memory = 0
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if not line[0].isupper():  # a mapping's own line: addresses, and the file's path at the end
            inside = line.endswith(str(path.resolve()))
            mapped += inside
        elif inside and line.startswith("Rss:"):
            in_memory += int(line.split()[1]) * 1024
    return min(in_memory, size) if mapped else size


def representative(feeds: Sequence[Feeds], count: int = 5) -> list[Feeds]:
    """A few inputs, spread over the sizes that occur; one is enough where all have one size."""
    sizes = [sum(array.size for array in feed.values()) for feed in feeds]
    order = np.argsort(sizes, kind="stable")
    if sizes[order[0]] == sizes[order[-1]]:
        return [feeds[0]]
    places = np.linspace(0, len(order) - 1, count + 2)[1:-1].round().astype(int)
    return [feeds[order[place]] for place in dict.fromkeys(places.tolist())]
