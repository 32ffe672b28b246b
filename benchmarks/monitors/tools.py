"""The other tools on the same streams, each in its own environment."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.environments import BENCH, ROOT, python_of
from benchmarks.monitors.drifts import CHANGE, DRIFTS, Drift, stream
from benchmarks.monitors.subjects import Array, Subject, subject

_CLEAN = 10_000


@dataclass(frozen=True)
class Tool:
    """Which streams a tool watches: ``seeds`` of each change, and ``after`` requests of it.

    ``sparing``: of each subject and family one change, from 400 requests before it on: it takes minutes.
    """

    name: str
    title: str
    rules: tuple[str, ...]
    seeds: int
    after: int
    sparing: bool = False


TOOLS = (
    Tool("alibi", "Alibi Detect KSDrift", ("KSDrift",), 2, 3000),
    Tool("river", "River", ("ADWIN", "KSWIN"), 1, 2000),
    Tool("nannyml", "NannyML", ("any column",), 1, 1500),
    Tool("evidently", "Evidently", ("data set", "any column"), 1, 600, sparing=True),
)


@dataclass(frozen=True)
class Heard:
    """What a tool said of one stream: requests from the change to the alarm, and false ones, by rule."""

    change: Drift | None
    delays: dict[str, int | None]
    false: dict[str, int]
    clean: int
    seen: int
    seconds: float
    error: str


def run(tool: Tool, count: int) -> list[Heard]:
    """Write the streams, run the tool's script, read what it said."""
    folder = BENCH / "monitor" / "streams" / tool.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    written = _write(folder, tool, count)
    report = folder / "report.json"
    command = [str(python_of(tool.name)), "-m", f"benchmarks.monitors.{tool.name}", str(folder), str(report)]
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    print(f"{tool.title}: {len(written)} streams", file=sys.stderr)
    subprocess.run(command, check=True, cwd=ROOT, env={**os.environ, **one_thread})
    said = json.loads(report.read_text())
    shutil.rmtree(folder)
    return [_heard(change, at, said[name]) for name, (change, at) in written.items()]


def _write(folder: Path, tool: Tool, count: int) -> dict[str, tuple[Drift | None, int]]:
    written: dict[str, tuple[Drift | None, int]] = {}
    chosen = list(DRIFTS)
    if tool.sparing:
        first = {(d.subject, d.family): d for d in reversed(DRIFTS) if not d.gradual and d.subject != "texts"}
        chosen = [change for change in DRIFTS if change in first.values()]
    for number, change in enumerate(chosen):
        for seed in range(tool.seeds):
            random = np.random.default_rng([seed, count])
            source = subject(change.subject)
            reference, _ = source.draw(random, count, None)
            x, _, at = stream(change, random, tool.after)
            begin = CHANGE - 400 if tool.sparing else 0
            name = f"{number:02}-{seed}"
            _save(folder / f"{name}.npz", source, reference, x[begin:], at - begin)
            written[name] = change, at - begin
    for name in ("diamonds",) if tool.sparing else ("diamonds", "cancer", "digits"):
        source, random = subject(name), np.random.default_rng([9, count])
        reference, _ = source.draw(random, count, None)
        x, _ = source.draw(random, _CLEAN, None)
        _save(folder / f"clean-{name}.npz", source, reference, x, _CLEAN)
        written[f"clean-{name}"] = None, _CLEAN
    return written


def _save(path: Path, source: Subject, reference: Array, x: Array, at: int) -> None:
    np.savez(path, allow_pickle=False, reference=_table(source, reference), stream=_table(source, x), at=at)


def _table(source: Subject, x: Array) -> Array:
    """Inputs and answers as columns; of sentences, whose inputs are none, the answers."""
    parts = [*source.answer(x).values()]
    if source.columns:
        parts.insert(0, x)
    return np.concatenate(parts, axis=1).astype(np.float32)


def _heard(change: Drift | None, at: int, said: dict[str, Any]) -> Heard:
    delays, false = {}, {}
    for rule, ends in said["alarms"].items():
        after = [end - at for end in ends if end > at]
        delays[rule] = after[0] if after else None
        false[rule] = sum(end <= at for end in ends)
    seen = int(said["seen"])
    return Heard(change, delays, false, min(at, seen), seen, said["seconds"], said["error"])
