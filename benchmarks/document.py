"""The tables of docs/benchmarks.md and README.md, written from a results file: no figure by hand."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.publish import insert, markdown, replace
from benchmarks.tools import TOOLS

_DOCUMENT = Path(__file__).parents[1] / "docs" / "benchmarks.md"
_MARKER = "<!-- Below: written by `make bench-optimize` -->"
_README = Path(__file__).parents[1] / "README.md"
_DEFAULT_TARGET = "x86_64"
OURS, TRAINED = "coldpress optimize", "coldpress optimize, trained"

Row = Mapping[str, Any]


def write_document(content: Mapping[str, Any]) -> None:
    """Replace what stands below the marker."""
    head = _DOCUMENT.read_text().partition(_MARKER)[0]
    rows = content["rows"]
    machine = content["machine"]
    ours = markdown(
        (
            "model",
            "asked",
            "metric",
            "drop",
            "speed-up",
            "MB",
            "seconds",
            "beats the best peer",
        ),
        (
            (
                row["model"],
                row["asked"],
                row["metric"],
                _number(row["drop"], ".4f"),
                _number(row["speed-up"], ".2f", "x"),
                f"{row['MB before']:.2f} → {_number(row['MB'], '.2f')}",
                row["seconds"],
                row["beats best peer"],
            )
            for row in rows
            if row["asked"]
        ),
    )
    titles = list(dict.fromkeys(row["model"] for row in rows))
    every = "\n\n".join(_of_model(title, [row for row in rows if row["model"] == title]) for title in titles)
    versions = "\n".join(f"- {name}: {text}" for name, text in content["versions"].items())
    where = f"Machine: {machine['cpu']}, {machine['cores']} cores, Python {machine['python']}."
    parts = [head + _MARKER, "## `optimize`", ours, "## Every tool", every, "## Where", where, versions]
    replace(_DOCUMENT, "\n\n".join(parts) + "\n")


def write_readme(content: Mapping[str, Any]) -> None:
    """Replace what stands between the markers: models at the default target, and what was trained."""
    ours = [(row, row["asked"].split(", ")) for row in content["rows"] if row["asked"]]
    chosen = [one for one in ours if one[0]["tool"] == TRAINED or one[1][2] == _DEFAULT_TARGET]
    training = {tool.title for tool in TOOLS if tool.trains}
    peers = [row for row in content["rows"] if not row["asked"]]
    # What does not train has peers that do not train either.
    compared = {
        OURS: {row["model"] for row in peers if row["tool"] not in training},
        TRAINED: {row["model"] for row in peers},
    }
    table = markdown(
        ("model", "asked", "drop [95 %]", "speed-up", "MB", "best other tool within the bound"),
        (
            (
                row["model"],
                ", ".join([row["metric"], bound, *(["for size"] if objective == "size" else []), *more]),
                f"{_number(row['drop'], '.4f')} [{_ends(row['drop interval'], ', ')}]",
                _number(row["speed-up"], ".2f", "x"),
                f"{row['MB before']:.2f} → {_number(row['MB'], '.2f')}",
                _peer(row["beats best peer"]) if row["model"] in compared[row["tool"]] else "not compared",
            )
            for row, (objective, bound, _, *more) in chosen
        ),
    )
    insert(_README, "bench-optimize", table)


def _of_model(title: str, rows: Sequence[Row]) -> str:
    table = markdown(
        ("tool", "drop", "95 %", "speed-up", "MB", "seconds"),
        (
            (
                f"**{row['asked']}**" if row["asked"] else row["tool"],
                *(
                    (
                        _number(row["drop"], ".4f"),
                        _ends(row["drop interval"], " to "),
                        _number(row["speed-up"], ".2f", "x"),
                        _number(row["MB"], ".2f"),
                    )
                    if row["drop"] is not None
                    else (f"`{row['error'].replace('|', '/').replace('`', '')}`", "", "", "")
                ),
                row["seconds"],
            )
            for row in rows
        ),
    )
    metric, size = rows[0]["metric"], rows[0]["MB before"]
    before = [row["metric before"] for row in rows if row.get("metric before") is not None]
    # Without labels, the original agrees with itself.
    original = (
        f" {abs(before[0]):.4f} of the original" if before and round(before[0], 6) not in {0, 1} else ""
    )
    return f"### {title}\n\n{metric}{original}, {size:.2f} MB\n\n{table}"


def _peer(verdict: str) -> str:
    """The tool that a verdict names, with its figure."""
    named = verdict.partition(": ")[2]
    return "none" if named.startswith("the original") else named


def _ends(interval: Sequence[float] | None, between: str) -> str:
    return between.join(f"{end:.4f}" for end in interval or [])


def _number(value: float | None, form: str, unit: str = "") -> str:
    return "-" if value is None else f"{value:{form}}{unit}"
