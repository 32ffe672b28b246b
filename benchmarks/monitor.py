"""`make bench-monitor`: how soon changes are found, how often nothing is taken for one, and what it costs.

Ours and the other tools on the same streams; the change is at a random request after 1,000, abrupt or over
500 requests.
"""

import argparse
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.environments import BENCH, ROOT
from benchmarks.monitors import PACKAGES
from benchmarks.monitors.document import COLUMNS, FAMILIES, SUBJECTS, Row, write_document
from benchmarks.monitors.drifts import DRIFTS, GOALS, Drift
from benchmarks.monitors.ours import (
    bound_kept,
    cost,
    find,
    import_seconds,
    watch_clean,
    watch_errors,
    watch_quality,
    watch_rhythm,
)
from benchmarks.monitors.prepare import prepare
from benchmarks.monitors.tools import TOOLS, Heard, Tool, run
from benchmarks.publish import show, where, write

SAMPLES = 5000


def main() -> None:
    """Print the tables; write results/monitor.json and docs/monitoring.md if all of it was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=["ours", *(tool.name for tool in TOOLS)], help="nothing is written")
    parser.add_argument("--seeds", type=int, default=10, help="streams of ours for each change")
    options = parser.parse_args()
    prepare()
    rows, ours = [], {}
    if options.only in (None, "ours"):
        rows_of_ours, ours = _ours(options.seeds)
        rows += rows_of_ours
    for tool in TOOLS:
        if options.only in (None, tool.name):
            rows += _of_tool(tool)
    show("monitor", rows, COLUMNS)
    if ours:
        show("changes", ours["changes"], tuple(ours["changes"][0]))
        sys.stdout.write(f"{ours['clean']}\n{ours['quality']}\n{ours['cost']}\n")
    if options.only is None:
        versions = {name: " ".join(packages) for name, packages in PACKAGES.items()}
        content = write("monitor", [*rows, {"ours": ours}], versions)
        write_document(rows, ours, where(content))


def _ours(seeds: int) -> tuple[list[Row], dict[str, Any]]:
    rows, changes = [], []
    for count in (SAMPLES, 1000):
        found = {}
        for change in DRIFTS:
            print(f"ours, {count} samples: {change.name}", file=sys.stderr)
            found[change] = find(change, seeds, count)
        clean = [watch_clean(name, 100 if count == SAMPLES else 25, 5000, count) for name in SUBJECTS]
        costs = {name: cost(name, count) for name in SUBJECTS}
        requests = sum(len(one.evidence) * one.length for one in clean)
        delays = {change: one.delays for change, one in found.items()}
        row = _row(f"coldpress, {count:,} samples", delays)
        row["false alarms per 100,000"] = 1e5 * sum(one.alarms for one in clean) / requests
        row["CPU s per 1,000"] = max(one["CPU s per 1,000"] for one in costs.values())
        row["MB"] = sum(file.stat().st_size for file in (ROOT / "monitoring").rglob("*.py")) / 1e6
        rows.append(row)
        if count == SAMPLES:
            changes = [_change(change, found[change].delays, found[change].named) for change in DRIFTS]
            false = sum(one.false for one in found.values())
            summary = {
                "requests": requests,
                "streams": sum(len(one.evidence) for one in clean),
                "alarms": sum(one.alarms for one in clean),
                "alarms before a change": false,
                "evidence": bound_kept(clean),
            }
            kept = {"changes": changes, "clean": summary, "cost": {**costs, "import s": import_seconds()}}
    long = watch_clean("digits", 1, 1_000_000, 1000)
    kept["clean"]["a stream of 1,000,000 against 1,000 samples"] = {
        "alarms": long.alarms,
        "evidence": long.evidence[0],
    }
    rhythm = {"in steps": watch_rhythm(smooth=False), "smooth": watch_rhythm(smooth=True)}
    return rows, {**kept, "quality": watch_quality(), "errors": watch_errors(1000, 500), "rhythm": rhythm}


def _change(change: Drift, delays: Sequence[int | None], named: Sequence[bool]) -> Row:
    known = sorted(3001 if delay is None else delay for delay in delays)
    return {
        "change": change.name,
        "family": change.family,
        "developed on": "yes" if change.developed else "",
        "median": float(np.median(known)) if known else None,
        "largest": known[-1] if known else None,
        "goal": None if change.gradual else GOALS.get(change.family),
        "named": f"{np.mean(named):.0%}" if named else "",
    }


def _of_tool(tool: Tool) -> list[Row]:
    heard = run(tool, SAMPLES)
    size = subprocess.run(
        ["du", "-sm", str(BENCH / "venvs" / tool.name)], capture_output=True, text=True, check=True
    )
    rows = []
    for rule in tool.rules:
        delays: dict[Drift, list[int | None]] = {}
        for one in heard:
            if one.change is not None and not one.error:
                delays.setdefault(one.change, []).append(one.delays[rule])
        row = _row(f"{tool.title}, {rule}", delays)
        row["false alarms per 100,000"] = _false(heard, rule)
        row["CPU s per 1,000"] = 1000 * sum(one.seconds for one in heard) / sum(one.seen for one in heard)
        row["MB"] = float(size.stdout.split()[0])
        row["errors"] = "; ".join(sorted({one.error for one in heard if one.error})) or None
        rows.append(row)
    return rows


def _false(heard: Sequence[Heard], rule: str) -> float:
    told = [one for one in heard if not one.error]
    return 1e5 * sum(one.false[rule] for one in told) / sum(one.clean for one in told)


def _row(title: str, delays: Mapping[Drift, Sequence[int | None]]) -> Row:
    """By family the median over its abrupt changes and seeds, and how many were never found."""
    row: Row = {"tool": title, **dict.fromkeys(COLUMNS[1:])}
    for family in FAMILIES:
        abrupt = [many for change, many in delays.items() if change.family == family and not change.gradual]
        found = [delay for many in abrupt for delay in many]
        if found:
            median = float(np.median([np.inf if delay is None else delay for delay in found]))
            never = sum(delay is None for delay in found)
            text = f"{median:.0f}" if np.isfinite(median) else "never"
            row[family] = f"{text} ({never} of {len(found)} never)" if never and np.isfinite(median) else text
    return row


if __name__ == "__main__":
    main()
