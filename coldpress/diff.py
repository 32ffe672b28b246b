"""``coldpress diff``: two bundles side by side, and whether the second can take the first one's place."""

import argparse
import difflib
import json
import math
import sys
from collections.abc import Iterator
from typing import Any

import msgspec

from bundle.manifest import AppliedPass, Manifest
from coldpress.comparison import (
    Answers,
    Change,
    Opened,
    compare_answers,
    compare_signatures,
    open_bundle,
)
from coldpress.handles import BUNDLE, add_bucket_argument, bundle_at
from optimizer.units import duration, size


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare what the subcommand takes."""
    parser.add_argument("first", metavar="A", help=f"what serves now: {BUNDLE}")
    parser.add_argument("second", metavar="B", help="what is to take its place")
    add_bucket_argument(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.epilog = "Exit status: 0; 1 where B's signature would break clients of A; 2 wrong input."


def run(options: argparse.Namespace) -> int:
    """Compare, and print it."""
    first, second = (open_bundle(bundle_at(text, options.bucket)) for text in (options.first, options.second))
    changes = compare_signatures(first.manifest.signature, second.manifest.signature)
    answers = {side: compare_answers(first, second, one) for side, one in (("A", first), ("B", second))}
    if options.json:
        sys.stdout.write(json.dumps(_as_json(first, second, changes, answers)) + "\n")
    else:
        for line in _lines(first, second, changes, answers):
            sys.stdout.write(f"{line}\n")
    return int(any(change.breaks for change in changes))


def _lines(
    first: Opened, second: Opened, changes: list[Change], answers: dict[str, Answers]
) -> Iterator[str]:
    a, b = first.manifest, second.manifest
    yield f"A  {a.name}, {a.serve} for {a.target}, {a.digest}"
    yield f"B  {b.name}, {b.serve} for {b.target}, {b.digest}"
    yield ""
    yield f"signature  {_verdict(changes)}"
    for change in changes:
        yield f"  {'breaks  ' if change.breaks else 'harmless'}  {change.what}"
    if a.class_labels != b.class_labels:
        yield f"  the class labels differ: A has {len(a.class_labels)}, B has {len(b.class_labels)}"
    yield ""
    yield from _figures(a, b)
    yield "  times are of the machine that pressed each; `coldpress size` measures both here"
    yield ""
    yield f"source     {_source(a, b)}"
    yield from _passes(a, b)
    yield from (f"  {line}" for line in _tools(a, b))
    yield ""
    for side, found in answers.items():
        yield from _answers(side, found)


def _verdict(changes: list[Change]) -> str:
    if any(change.breaks for change in changes):
        return "incompatible: clients of A would break"
    return "clients of A can go on" if changes else "the same"


def _figures(a: Manifest, b: Manifest) -> Iterator[str]:
    rows = [
        ("figures", "A", "B", "B to A"),
        ("latency", *_both(a.after.latency_ms, b.after.latency_ms, duration)),
        ("size", *_both(a.after.size_bytes, b.after.size_bytes, size)),
        ("cold start", *_both(a.after.cold_start_ms, b.after.cold_start_ms, duration)),
        (
            a.metric.name if a.metric.name == b.metric.name else "metric",
            *(f"{one.metric.after:.4f}" for one in (a, b)),
            f"{b.metric.after - a.metric.after:+.4f}" if a.metric.name == b.metric.name else "another metric",
        ),
        ("drop", *(f"{one.metric.drop:.4f} of {one.metric.bound:g}" for one in (a, b)), ""),
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()


def _both(a: float, b: float, words: Any) -> tuple[str, str, str]:
    return words(a), words(b), f"{b / a:.2f}x" if a else "-"


def _source(a: Manifest, b: Manifest) -> str:
    if a.source.sha256 == b.source.sha256:
        return f"the same: {a.source.file}, sha256 {a.source.sha256[:12]}"
    return (
        f"A {a.source.file}, sha256 {a.source.sha256[:12]}; B {b.source.file}, sha256 {b.source.sha256[:12]}"
    )


def _passes(a: Manifest, b: Manifest) -> Iterator[str]:
    before, after = ([_step(step) for step in one.passes] for one in (a, b))
    if before == after:
        yield f"passes     the same {len(before)}"
        return
    yield "passes"
    for line in difflib.ndiff(before, after):
        if line[0] in "+-":
            yield f"  {line}"


def _step(step: AppliedPass) -> str:
    told = ", ".join(f"{key} {value}" for key, value in step.parameters.items())
    return f"{step.name}{f': {told}' if told else ''}"


def _tools(a: Manifest, b: Manifest) -> Iterator[str]:
    for tool in sorted(a.tools.keys() | b.tools.keys()):
        before, after = a.tools.get(tool, "none"), b.tools.get(tool, "none")
        if before != after:
            yield f"{tool} {before} -> {after}"


def _answers(side: str, found: Answers) -> Iterator[str]:
    yield f"answers    to {side}'s golden samples: {found.agree} of {found.samples} agree"
    if found.refused:
        yield f"  {len(found.refused)} not answered: {found.refused[0]}"
    for name, output in found.outputs.items():
        yield (
            f"  {name}: differ by {output.between:.4g} of {output.allowed:.4g} allowed; from the original "
            f"A by {output.first:.4g}, B by {output.second:.4g}"
        )


def _as_json(
    first: Opened, second: Opened, changes: list[Change], answers: dict[str, Answers]
) -> dict[str, Any]:
    return {
        "compatible": not any(change.breaks for change in changes),
        "signature": [change._asdict() for change in changes],
        "answers": {
            side: {
                "samples": found.samples,
                "agree": found.agree,
                "refused": found.refused,
                "outputs": {
                    name: {key: value if math.isfinite(value) else None for key, value in told.items()}
                    for name, told in ((name, output._asdict()) for name, output in found.outputs.items())
                },
            }
            for side, found in answers.items()
        },
        "A": {"folder": str(first.folder), "manifest": msgspec.to_builtins(first.manifest)},
        "B": {"folder": str(second.folder), "manifest": msgspec.to_builtins(second.manifest)},
    }
