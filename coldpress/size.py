"""``coldpress size``: latency, cold start and cost at Lambda's memory sizes, and which to take."""

import argparse
import json
import os
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.bar import Bar
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bundle.folder import verify
from bundle.manifest import Manifest
from coldpress.environment import Answer, Environment
from coldpress.errors import CommandError
from coldpress.handles import BUNDLE, add_bucket_argument, bundle_at
from coldpress.live import measure_live
from coldpress.prices import prices_of
from coldpress.quota import NotAllowed, cpu_share
from coldpress.samples import golden_event
from coldpress.sizing import STRATEGIES, Row, recommend, usd_per_million, vcpus

_SIZES = "512,1024,1769,3008,3538,5307,7076,10240"
_STARTS, _WARM_UP = 3, 3
# Left for what a request needs beside the model that was measured.
_HEADROOM = 1.2
_BAR_WIDTH = 10


class _Measured(NamedTuple):
    cold_ms: float
    latency_ms: float
    peak_mb: float


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare what the subcommand takes."""
    parser.add_argument(
        "bundle",
        nargs="?",
        metavar=BUNDLE,
        help="the folder that `optimize` printed, or one in the registry (with --live: default the deployed "
        "one)",
    )
    add_bucket_argument(parser)
    parser.add_argument(
        "--memory", type=_sizes, default=_sizes(_SIZES), metavar="MB,MB,…", help=f"(default: {_SIZES})"
    )
    parser.add_argument("--strategy", choices=STRATEGIES, default="balanced", help="(default: %(default)s)")
    parser.add_argument(
        "--live",
        metavar="STACK",
        help="measure the versions that are deployed, one for each memory size; the alias and the function's "
        "settings stay as they are",
    )
    parser.add_argument("--model", metavar="NAME", help="with --live: which, where the stage has several")
    parser.add_argument(
        "--requests", type=int, default=100, metavar="N", help="a size (default: %(default)s)"
    )
    parser.add_argument("--region", default="us-east-1", help="whose prices (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> int:
    """Measure, and print a table, a chart and the recommendation."""
    if options.requests < 1:
        raise CommandError(f"--requests is {options.requests}, but at least 1 is needed.")
    bundle = None if options.bundle is None else bundle_at(options.bundle, options.bucket)
    if options.live:
        rows, notes = measure_live(options.live, options.model, bundle, options.requests, options.region)
    elif bundle is None:
        raise CommandError("what is to be measured? Name a BUNDLE, or a deployed stack with --live.")
    else:
        rows, notes = _measure(bundle, options)
    chosen = recommend(rows, options.strategy)
    sentence = (
        f"For {options.strategy}: memory_mb {chosen.memory_mb} ({chosen.threads} thread"
        f"{'s' if chosen.threads > 1 else ''}), {chosen.latency_ms:.1f} ms and "
        f"${chosen.usd_per_million:,.2f} a million requests."
    )
    if options.json:
        told = {
            "strategy": options.strategy,
            "rows": [row._asdict() for row in rows],
            "recommended": chosen._asdict(),
            "notes": notes,
        }
        sys.stdout.write(json.dumps(told) + "\n")
    else:
        _print(rows, chosen, [*notes, sentence])
    return 0


def _measure(bundle: Path, options: argparse.Namespace) -> tuple[list[Row], list[str]]:
    manifest = verify(bundle)
    event = golden_event(bundle, manifest.name)
    cpus, notes = len(os.sched_getaffinity(0)), []
    sizes = [size for size in options.memory if vcpus(size) <= cpus]
    if left := [str(size) for size in options.memory if size not in sizes]:
        notes.append(f"Not measured, with more CPUs than this machine ({cpus}): {', '.join(left)} MB.")
    if not sizes:
        raise CommandError(f"all sizes have more CPUs than this machine ({cpus}): name smaller ones.")
    # Fills the caches and compiles what is not compiled yet; it also says how much memory is needed.
    peak_mb = _one_start(bundle, manifest, event, max(sizes), None, 1).peak_mb
    fitting = [size for size in sizes if size >= peak_mb * _HEADROOM]
    if left := [str(size) for size in sizes if size not in fitting]:
        notes.append(f"Too small for the {peak_mb:.0f} MB that it needs: {', '.join(left)} MB.")
    if not fitting:
        raise CommandError(f"no size is enough for the {peak_mb:.0f} MB that it needs: name larger ones.")
    try:
        rows = list(_rows(bundle, options, manifest, event, fitting, _within_quota))
    except NotAllowed as error:
        notes.append(f"CPU time over the share of a CPU, because quotas cannot be set ({error}).")
        rows = list(_rows(bundle, options, manifest, event, fitting, _scaled))
    return rows, notes


_Way = Callable[[Path, Manifest, bytes, int, int], _Measured]


def _rows(  # noqa: PLR0913,PLR0917 - what is measured, at which sizes, and how
    bundle: Path,
    options: argparse.Namespace,
    manifest: Manifest,
    event: bytes,
    sizes: Sequence[int],
    way: _Way,
) -> Iterator[Row]:
    architecture = "arm64" if manifest.target == "arm64" else "x86_64"
    console = Console(stderr=True)
    for size in track(sizes, "measuring", console=console, transient=True, disable=not console.is_terminal):
        measured = way(bundle, manifest, event, size, options.requests)
        yield Row(
            memory_mb=size,
            vcpus=round(vcpus(size), 2),
            threads=max(1, int(vcpus(size))),
            latency_ms=measured.latency_ms,
            cold_start_ms=measured.cold_ms,
            usd_per_million=usd_per_million(
                size, measured.latency_ms, architecture, prices_of(options.region)
            ),
        )


def _within_quota(bundle: Path, manifest: Manifest, event: bytes, size: int, requests: int) -> _Measured:
    """By the clock, in a control group that has the CPU that Lambda gives."""
    with cpu_share(vcpus(size)) as procs:
        starts = [
            _one_start(bundle, manifest, event, size, procs, 1 if number else requests)
            for number in range(_STARTS)
        ]
    return starts[0]._replace(cold_ms=statistics.median(start.cold_ms for start in starts))


def _scaled(bundle: Path, manifest: Manifest, event: bytes, size: int, requests: int) -> _Measured:
    """By CPU time, over the share of a CPU that Lambda gives."""
    share = min(1.0, vcpus(size))
    starts = [
        _one_start(bundle, manifest, event, size, None, 1 if number else requests, share)
        for number in range(_STARTS)
    ]
    return starts[0]._replace(cold_ms=statistics.median(start.cold_ms for start in starts))


def _one_start(  # noqa: PLR0913,PLR0917 - what is started, where, and how often it is asked
    bundle: Path,
    manifest: Manifest,
    event: bytes,
    size: int,
    procs: Path | None,
    requests: int,
    share: float = 1.0,
) -> _Measured:
    def taken(answer: Answer) -> float:
        return max(answer.wall_ms, answer.cpu_ms / share)

    with Environment(bundle, manifest.name, size, procs) as environment:
        first = environment.first(event)
        status = json.loads(first.body).get("statusCode")
        if status != 200:
            raise CommandError(f"the bundle's golden sample is answered {status}: press the model anew.")
        for _ in range(_WARM_UP if requests > 1 else 0):
            environment.ask(event)
        times = [taken(environment.ask(event)) for _ in range(requests)]
        # The mean, because a share of a CPU lets some requests through at full speed and makes the next wait.
        return _Measured(taken(first), statistics.fmean(times), environment.peak_mb())


def _print(rows: Sequence[Row], chosen: Row, sentences: Sequence[str]) -> None:
    console = Console(highlight=False)
    grid = Table("", "MB", "vCPU", "threads", "ms", "", "cold ms", "$/million", "", box=None)
    for column in grid.columns:
        column.justify, column.no_wrap = "right", True
        column.min_width = len(str(column.header)) or 1
    grid.columns[5].min_width = grid.columns[8].min_width = _BAR_WIDTH
    slowest, dearest = max(row.latency_ms for row in rows), max(row.usd_per_million for row in rows)
    for row in rows:
        grid.add_row(
            "*" if row == chosen else "",
            str(row.memory_mb),
            f"{row.vcpus:.2f}",
            str(row.threads),
            f"{row.latency_ms:.1f}",
            Bar(slowest, 0, row.latency_ms, width=_BAR_WIDTH),
            "-" if row.cold_start_ms is None else f"{row.cold_start_ms:.0f}",
            f"{row.usd_per_million:,.2f}",
            Bar(dearest, 0, row.usd_per_million, width=_BAR_WIDTH),
        )
    console.print(grid)
    for sentence in sentences:
        console.print(sentence, soft_wrap=True)


def _sizes(text: str) -> list[int]:
    parts = text.split(",")
    if not all(part.isdecimal() and 128 <= int(part) <= 10_240 for part in parts):
        raise argparse.ArgumentTypeError(f"'{text}' is no list of whole MB from 128 to 10240")
    return sorted({int(part) for part in parts})
