"""How long each layer takes, from ONNX Runtime's own profile.

ONNX Runtime fuses, splits and surrounds layers as it likes: a convolution in int8 gets transposes, roundings
and reorderings around it that its float form does not. So a layer's time is that of the operators that carry
its name (fusions keep it) and half of what runs between it and its neighbours.
"""

import json
import re
import tempfile
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort

from optimizer.runtime import Feeds, quiet_options

# The profile counts whole microseconds: of fast models more runs, within about this time, say parts of one.
_LEAST_RUNS, _MOST_RUNS, _SECONDS = 7, 60, 0.2
# Of how many sessions, by the seconds that a run takes at most.
_SESSIONS = ((0.002, 5), (0.02, 3))
_KERNEL = "_kernel_time"
_MARK = re.compile(r"@(\d+)@")


def layer_times(
    model: bytes, layers: Collection[str], known: Collection[str], feeds: Sequence[Feeds]
) -> dict[str, float]:
    """Milliseconds a run by layer, the mean over the feeds; a layer that is not found is missing.

    ``known`` are the names of the cleaned graph's values: what else there is belongs to a treatment.
    """
    proto = onnx.load_model_from_string(model)
    _mark(proto.graph, {name: number for number, name in enumerate(layers)}, known)
    marked, names = proto.SerializeToString(), list(layers)
    # No two sessions are equally fast, as memory falls to each by chance: the middle one of several, where
    # that costs little.
    first, took = _profiled(marked, feeds)
    sessions = next((count for limit, count in _SESSIONS if took < limit), 1)
    every = [first] + [_profiled(marked, feeds)[0] for _ in range(sessions - 1)]
    return {names[number]: float(np.median([one.get(number, 0.0) for one in every])) for number in first}


def _profiled(marked: bytes, feeds: Sequence[Feeds]) -> tuple[dict[int, float], float]:
    """Milliseconds by layer's number in a session of its own, and the seconds that a run takes."""
    with tempfile.TemporaryDirectory() as folder:
        options = quiet_options(ort.GraphOptimizationLevel.ORT_ENABLE_ALL)
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder, "profile"))
        session = ort.InferenceSession(marked, options)
        took = min(_seconds(session, feed) for feed in feeds)
        count = min(max(int(_SECONDS / took), _LEAST_RUNS), _MOST_RUNS)
        for feed in feeds:
            for _ in range(count + 1):
                session.run(None, dict(feed))
        events = json.loads(Path(session.end_profiling()).read_bytes())
    taken: dict[int, list[float]] = {}
    runs = _runs(events)[len(feeds) :]
    for start in range(0, len(runs), count + 1):
        of_feed = [_shares(run) for run in runs[start + 1 : start + count + 1]]
        for number in of_feed[0]:
            times = sorted(shares.get(number, 0.0) for shares in of_feed)
            # The quicker half: what disturbs a run makes it slower.
            taken.setdefault(number, []).append(float(np.mean(times[: len(times) // 2])))
    return {number: float(np.mean(times)) for number, times in taken.items()}, took


def _seconds(session: ort.InferenceSession, feed: Feeds) -> float:
    start = time.perf_counter()
    session.run(None, dict(feed))
    return time.perf_counter() - start


def _mark(graph: onnx.GraphProto, numbers: Mapping[str, int], known: Collection[str]) -> None:
    """Name nodes and their outputs after layers: ONNX Runtime names what it fuses after one or the other."""
    owners: dict[str, int] = {}
    for node in reversed(graph.node):
        number = numbers.get(node.output[0])
        if number is None and node.output[0] not in known:
            # What a treatment put before a layer is found from its reader, and what stands after below.
            number = next(
                (
                    owners[o.output[0]]
                    for o in graph.node
                    if o.output[0] in owners and node.output[0] in o.input
                ),
                None,
            )
        if number is not None:
            owners[node.output[0]] = number
    for node in graph.node:
        number = owners.get(
            node.output[0], next((owners[name] for name in node.input if name in owners), None)
        )
        if number is not None:
            owners.update(dict.fromkeys(node.output, number))
            node.name = f"@{number}@{node.output[0]}"
        else:
            node.name = ""
    if not any(attribute.HasField("g") for node in graph.node for attribute in node.attribute):
        fixed = {value.name for value in graph.output}
        renamed = {name: f"@{number}@{name}" for name, number in owners.items() if name not in fixed}
        for node in graph.node:
            for names in (node.input, node.output):
                names[:] = [renamed.get(name, name) for name in names]
        del graph.value_info[:]


def _runs(events: list[dict[str, object]]) -> list[list[tuple[str, float]]]:
    """(operator's name, ms) of each run, in order: a run's own event comes after its operators'."""
    runs: list[list[tuple[str, float]]] = [[]]
    for event in events:
        name = str(event["name"])
        if event.get("cat") == "Node" and name.endswith(_KERNEL):
            runs[-1].append((name, float(str(event["dur"])) / 1e3))
        elif name == "model_run":
            runs.append([])
    return runs[:-1]


def _shares(run: list[tuple[str, float]]) -> dict[int, float]:
    """What one run spent on each layer."""
    shares: dict[int, float] = {}
    last: int | None = None
    between = 0.0
    for name, ms in run:
        mark = _MARK.search(name)
        if mark is None:
            between += ms
            continue
        number = int(mark.group(1))
        shares[number] = shares.get(number, 0.0) + ms
        for neighbour in (number, last if last is not None else number):
            shares[neighbour] += between / 2
        last, between = number, 0.0
    if last is not None:
        shares[last] += between
    return shares
