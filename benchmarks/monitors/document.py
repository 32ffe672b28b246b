"""The tables of `make bench-monitor`, in docs/monitoring.md and README.md."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.environments import ROOT
from benchmarks.monitors.drifts import DRIFTS, GOALS
from benchmarks.publish import insert, markdown

DOCUMENT, README = ROOT / "docs" / "monitoring.md", ROOT / "README.md"
SUBJECTS = ("digits", "cancer", "diamonds", "texts")
FAMILIES = tuple(dict.fromkeys(change.family for change in DRIFTS))
COLUMNS = ("tool", *FAMILIES, "false alarms per 100,000", "CPU s per 1,000", "MB", "errors")
README_COLUMNS = (
    "tool",
    "unit change",
    "half missing",
    "column times 1.1",
    "class missing or times 3",
    "10 % foreign",
    "false alarms per 100,000",
    "CPU s per 1,000",
    "MB",
)

Row = dict[str, Any]


def write_document(rows: Sequence[Row], ours: Mapping[str, Any], place: str) -> None:
    """Replace what the last run wrote; ``place`` is the machine."""
    goals: Row = {**GOALS, "tool": "goal", "false alarms per 100,000": 1, "CPU s per 1,000": 0.06}
    tools = _tools(COLUMNS, [goals, *rows])
    insert(README, "bench-monitor", _tools(README_COLUMNS, rows))
    changes = markdown(tuple(ours["changes"][0]), (list(row.values()) for row in ours["changes"]))
    parts = [
        "Requests from the change to the alarm, the median over abrupt changes and seeds:",
        tools,
        "Ours, change by change, with a baseline of 5,000 samples:",
        changes,
        _clean(ours["clean"]),
        _quality(ours["quality"]),
        _errors(ours["errors"]),
        _rhythm(ours["rhythm"]),
        _cost(ours["cost"]),
        place,
    ]
    insert(DOCUMENT, "bench-monitor", "\n\n".join(parts))


def _tools(columns: Sequence[str], rows: Sequence[Row]) -> str:
    return markdown(columns, ([row.get(column) for column in columns] for row in rows))


def _clean(clean: Mapping[str, Any]) -> str:
    long = clean["a stream of 1,000,000 against 1,000 samples"]
    kept = "; ".join(
        f"k = {k}: {share:.3f} ({allowed:.3f})" for k, (share, allowed) in clean["evidence"].items()
    )
    return (
        f"Clean: {clean['alarms']} alarms in {clean['streams']} streams of 5,000 requests, "
        f"{clean['requests']:,} in all, and {clean['alarms before a change']} before a change; "
        f"{long['alarms']} in one stream of 1,000,000 against a baseline of 1,000 samples. "
        "Share of streams whose evidence reached k N / c, and "
        f"in brackets the most that the bound allows: {kept}."
    )


def _quality(quality: Mapping[str, float]) -> str:
    return (
        f"Quality, accuracy from 95 to 90 % after 500 labels: {quality['median']:.0f} labels (median), "
        f"{quality['mean']:.0f} (mean); false alarms within 2,000 labels: {quality['false share']:.1%}."
    )


def _errors(errors: Mapping[str, float]) -> str:
    return (
        "Quality of numbers, the RMSE of the diamonds model 30 % up after 500 labels, against 1,000 verified "
        f"samples: {errors['median']:.0f} labels (median), {errors['found within 3,000']:.1%} within 3,000; "
        f"false alarms within 2,000 labels: {errors['false share']:.1%}."
    )


def _rhythm(rhythm: Mapping[str, Mapping[str, int | None]]) -> str:
    def alarm(at: int | None) -> str:
        return "no alarm" if at is None else f"an alarm at request {at:,}"

    told = "; ".join(
        f"{title}: {alarm(one['without seasons'])} without seasons, {alarm(one['with seasons'])} with them"
        for title, one in rhythm.items()
    )
    found = rhythm["in steps"]["turned by 12 degrees"]
    return (
        "Daily rhythm, digits of which others come by day than by night, 10,080 requests in two weeks "
        f"against the week before. The mix changes {told}. "
        f"Digits turned by 12 degrees are then found after {found} requests."
    )


def _cost(costs: Mapping[str, Any]) -> str:
    each = "; ".join(
        f"{name}: {costs[name]['CPU s per 1,000']:.3f} CPU s per 1,000 requests, "
        f"state {costs[name]['state kB']:.0f} kB, baseline {costs[name]['baseline kB']:.0f} kB"
        for name in SUBJECTS
    )
    return f"Cost: import {costs['import s']:.3f} CPU s beside numpy's and msgspec's. {each}."
