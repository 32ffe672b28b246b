"""`make bench-optimize`: `optimize` and every other tool, side by side on the same models, judged alike.

What the tools make is kept in build/bench and made anew where its source changed; a model's judging is one
run. Rows are written after each model, so that what ends early goes on where it was; a part leaves the rest.
"""

import argparse
import fnmatch
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.document import OURS, TRAINED, write_document, write_readme
from benchmarks.judge import Verdict, judge
from benchmarks.models import MODELS, Case, Model
from benchmarks.produce import Produced, by_optimize, by_tool, prepare
from benchmarks.publish import RESULTS, cpu, show, write
from benchmarks.tools import PACKAGES, TOOLS, Tool
from optimizer.evaluate import Scores
from optimizer.measure import Latency

_COLUMNS = (
    "model",
    "tool",
    "asked",
    "drop",
    "within",
    "speed-up",
    "MB",
    "seconds",
    "beats best peer",
    "error",
)

Row = dict[str, Any]


def main() -> None:
    """Print the table; write its rows into results/optimize.json, and the tables of the documents anew."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--only",
        default="*",
        metavar="MODEL/TOOL",
        help="a pattern, as rec/nncf*, */optimize or minilm/trained; other rows stay as they are",
    )
    parser.add_argument("--dry-run", action="store_true", help="show the table, and write nothing")
    options = parser.parse_args()
    if options.only != "*" and not options.dry_run and not kept_rows():
        sys.exit("results/optimize.json is of another CPU: measure all of it, or say --dry-run with --only")
    rows = []
    for model in MODELS:
        if found := _rows(model, options.only):
            rows += found
            if not options.dry_run:
                _write(found)
    if not rows:
        names = ", ".join(model.name for model in MODELS)
        sys.exit(f"--only {options.only} fits nothing: models are {names}")
    measured = {_name(row) for row in rows}
    every = compared(merged(kept_rows(), rows))
    show("optimize", [row for row in every if _name(row) in measured], _COLUMNS)


def _write(rows: list[Row]) -> None:
    versions = {environment: " ".join(packages) for environment, packages in PACKAGES.items()}
    content = write("optimize", compared(merged(kept_rows(), rows)), versions)
    write_document(content)
    write_readme(content)


def kept_rows() -> list[Row]:
    """Those of results/optimize.json, if they are of such a machine: times of two do not compare."""
    file = RESULTS / "optimize.json"
    kept = json.loads(file.read_text()) if file.exists() else None
    return list(kept["rows"]) if kept and kept["machine"]["cpu"] == cpu() else []


def merged(kept: list[Row], rows: list[Row]) -> list[Row]:
    """What was measured takes the place of what was kept of it; in the order in which all is run."""
    names = [
        (model.title, tool, asked)
        for model in MODELS
        for tool, asked in [
            *((tool.title, "") for tool in _tools(model)),
            *((_ours(case), case.title) for case in model.cases),
        ]
    ]
    by_name = {_name(row): row for row in [*kept, *rows]}
    return [by_name[name] for name in names if name in by_name]


def _name(row: Row) -> tuple[str, str, str]:
    return row["model"], row["tool"], row["asked"]


def compared(rows: list[Row]) -> list[Row]:
    """Ours beside the others' rows, whenever each was measured."""
    cases = {(model.title, case.title): case for model in MODELS for case in model.cases}
    return [
        {**row, "beats best peer": compare(_verdict(row), peers(rows, case, row["model"]), case, _bytes(row))}
        if (case := cases.get((row["model"], row["asked"])))
        else row
        for row in rows
    ]


def _bytes(row: Row) -> int:
    return round(row["MB before"] * 1e6)


def _tools(model: Model) -> list[Tool]:
    """Those that work on such a model."""
    return [tool for tool in TOOLS if model.is_network and (model.torch or not tool.trains)]


def _ours(case: Case) -> str:
    return TRAINED if case.train else OURS


def _rows(model: Model, only: str) -> list[Row]:
    """The rows of one model: the other tools, then `optimize` for each case."""
    tools = [tool for tool in _tools(model) if fnmatch.fnmatch(f"{model.name}/{tool.name}", only)]
    cases = [
        case
        for case in model.cases
        if fnmatch.fnmatch(f"{model.name}/{'trained' if case.train else 'optimize'}", only)
    ]
    if not tools and not cases:
        return []
    others = {tool.title: by_tool(model, tool) for tool in tools}
    ours = {case.title: by_optimize(model, case) for case in cases}
    print(f"{model.title}: judging", file=sys.stderr)
    folder = prepare(model)
    produced = {**others, **ours}
    files = {name: Path(one.model) for name, one in produced.items() if one.model}
    verdicts = judge(model, folder, files)
    before = (folder / "model.onnx").stat().st_size
    judged = {name: verdicts.get(name, Verdict(error=one.error)) for name, one in produced.items()}
    rows = [_row(model, name, "", others[name], judged[name]) for name in others]
    rows += [_row(model, _ours(case), case.title, ours[case.title], judged[case.title]) for case in cases]
    return [{**row, "MB before": before / 1e6} for row in rows]


def peers(rows: list[Row], case: Case, title: str) -> dict[str, Verdict]:
    """The others of one model, by their title; those that train only beside ours that trained."""
    too_much = set() if case.train else {tool.title for tool in TOOLS if tool.trains}
    return {
        row["tool"]: _verdict(row)
        for row in rows
        if row["model"] == title and not row["asked"] and row["tool"] not in too_much
    }


def _verdict(row: Row) -> Verdict:
    if row["drop"] is None:
        return Verdict(error=row["error"])
    low, high = row["drop interval"]
    before = row.get("metric before", 1.0)
    scores = Scores(
        before=before,
        after=before - row["drop"],
        drop=row["drop"],
        low=low,
        high=high,
        error=0,
        samples=row["samples"],
    )
    low, high = row["speed-up interval"]
    ms = row["ms before"]
    latency = Latency(ms=ms / row["speed-up"], original_ms=ms, ratio=row["speed-up"], low=low, high=high)
    return Verdict(scores=scores, latency=latency, size=round(row["MB"] * 1e6))


def _row(model: Model, tool: str, asked: str, produced: Produced, verdict: Verdict) -> Row:
    scores, latency = verdict.scores, verdict.latency
    bounds = sorted({case.bound for case in model.cases})
    met = [bound for bound in bounds if scores and scores.drop <= bound]
    return {
        "model": model.title,
        "metric": model.metric.rpartition(":")[2],
        "metric before": scores.before if scores else None,
        "tool": tool,
        "asked": asked,
        "drop": scores.drop if scores else None,
        "drop interval": [scores.low, scores.high] if scores else None,
        "samples": scores.samples if scores else None,
        "within": (str(met[0]) if met else "none") if scores else None,
        "speed-up": latency.ratio if latency else None,
        "speed-up interval": [latency.low, latency.high] if latency else None,
        "ms before": latency.original_ms if latency else None,
        "MB": verdict.size / 1e6 if scores else None,
        "seconds": round(produced.seconds),
        "beats best peer": None,
        "passes": produced.passes,
        "error": verdict.error or None,
    }


def compare(ours: Verdict, peers: Mapping[str, Verdict], case: Case, before: int) -> str:
    """Whether ours beats the best peer within the bound; the original is one of them.

    By speed, where both intervals do not overlap; by size, among those that are not slower than the original.
    """
    if ours.scores is None or ours.latency is None:
        return "no: it failed"
    if ours.scores.drop > case.bound:
        return "no: outside the bound"
    within = {
        name: (peer.latency, peer.size)
        for name, peer in peers.items()
        if peer.scores and peer.latency and peer.scores.drop <= case.bound
    }
    if case.objective == "size":
        sizes = {name: size for name, (latency, size) in within.items() if latency.ratio >= 1}
        best = min(sizes, key=lambda name: sizes[name], default=None)
        size = min(before, sizes[best]) if best else before
        verdict = "yes" if ours.size < size and ours.latency.ratio >= 1 else "no"
        return f"{verdict}: {best or 'the original'}, {size / 1e6:.4g} MB"
    faster = {name: latency for name, (latency, _) in within.items() if latency.ratio > 1}
    best = max(faster, key=lambda name: faster[name].ratio, default=None)
    if best is None:
        verdict = "yes" if ours.latency.low > 1 else "even"
        return f"{verdict}: the original, 1x"
    theirs = faster[best]
    verdict = "yes" if ours.latency.low > theirs.high else "no" if ours.latency.high < theirs.low else "even"
    return f"{verdict}: {best}, {theirs.ratio:.3g}x"


if __name__ == "__main__":
    main()
