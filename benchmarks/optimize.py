"""`make bench-optimize`: `optimize` and every other tool, side by side on the same models, judged alike.

What the tools make is kept in build/bench and made anew where its source changed; the judging is one run.
"""

import argparse
import fnmatch
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.document import write_document, write_readme
from benchmarks.judge import Verdict, judge
from benchmarks.models import MODELS, Case, Model
from benchmarks.produce import Produced, by_optimize, by_tool, prepare
from benchmarks.publish import show, write
from benchmarks.tools import PACKAGES, TOOLS

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
    """Print the table; write results/optimize.json and docs/benchmarks.md if all of it was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--only",
        default="*",
        metavar="MODEL/TOOL",
        help="a pattern, as rec/nncf* or */optimize; nothing is written then",
    )
    only = parser.parse_args().only
    rows = [row for model in MODELS for row in _rows(model, only)]
    if not rows:
        sys.exit(f"--only {only} fits nothing: models are {', '.join(model.name for model in MODELS)}")
    show("optimize", rows, _COLUMNS)
    if only == "*":
        versions = {environment: " ".join(packages) for environment, packages in PACKAGES.items()}
        content = write("optimize", rows, versions)
        write_document(content)
        write_readme(content)


def _rows(model: Model, only: str) -> list[Row]:
    """The rows of one model: the other tools, then `optimize` for each case."""
    tools = [tool for tool in TOOLS if fnmatch.fnmatch(f"{model.name}/{tool.name}", only)]
    cases = [case for case in model.cases if fnmatch.fnmatch(f"{model.name}/optimize", only)]
    if not tools and not cases:
        return []
    peers = {tool.title: by_tool(model, tool) for tool in tools}
    ours = {_asked(case): by_optimize(model, case) for case in cases}
    print(f"{model.title}: judging", file=sys.stderr)
    folder = prepare(model)
    produced = {**peers, **ours}
    files = {name: Path(one.model) for name, one in produced.items() if one.model}
    verdicts = judge(model, folder, files)
    before = (folder / "model.onnx").stat().st_size
    judged = {name: verdicts.get(name, Verdict(error=one.error)) for name, one in produced.items()}
    known = {name: judged[name] for name in peers}
    rows = [_row(model, name, "", peers[name], judged[name]) for name in peers]
    for case in cases:
        asked = _asked(case)
        beaten = {"beats best peer": compare(judged[asked], known, case, before)}
        rows.append({**_row(model, "coldpress optimize", asked, ours[asked], judged[asked]), **beaten})
    return [{**row, "MB before": before / 1e6} for row in rows]


def _asked(case: Case) -> str:
    return f"{case.objective}, {case.bound}, {case.target}"


def _row(model: Model, tool: str, asked: str, produced: Produced, verdict: Verdict) -> Row:
    scores, latency = verdict.scores, verdict.latency
    bounds = sorted({case.bound for case in model.cases})
    met = [bound for bound in bounds if scores and scores.drop <= bound]
    return {
        "model": model.title,
        "metric": model.metric.rpartition(":")[2],
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
