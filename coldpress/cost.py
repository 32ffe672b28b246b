"""``coldpress cost``: what a month costs at a given traffic, and what other ways to serve would."""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from typing import Any

from rich.bar import Bar
from rich.console import Console
from rich.table import Table

from bundle.folder import read
from coldpress import bill
from coldpress.bill import HOURS, Workload
from coldpress.errors import CommandError
from coldpress.handles import BUNDLE, add_bucket_argument, bundle_at
from coldpress.prices import Prices, prices_of, table
from monitoring.cost import Watching

_BAR_WIDTH = 30
_DEFAULT_MEMORY_MB = 1769
_LITTLE = 0.02  # of what serving costs, watching should be at most


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare what the subcommand takes."""
    parser.add_argument(
        "bundle", nargs="?", metavar=BUNDLE, help="take duration, init, size and target from it"
    )
    add_bucket_argument(parser)
    parser.add_argument(
        "--rps",
        required=True,
        type=_rates,
        metavar="RATE|R0,R1,…,R23",
        help="requests per second: one rate, or one for each hour of the day",
    )
    parser.add_argument("--region", default="us-east-1", help="whose prices (default: %(default)s)")
    parser.add_argument("--api", choices=("http", "rest"), default="http", help="API Gateway's kind")
    add = parser.add_argument
    add("--request-bytes", type=_amount, default=2000, metavar="N", help="of one request (default: 2000)")
    add("--response-bytes", type=_amount, default=2000, metavar="N", help="of one answer (default: 2000)")
    add(
        "--duration-ms",
        type=_amount,
        metavar="MS",
        help="of one invocation at --memory (default: the bundle's)",
    )
    add("--init-ms", type=_amount, metavar="MS", help="of one cold start at --memory (default: the bundle's)")
    add("--memory", type=int, default=_DEFAULT_MEMORY_MB, metavar="MB", help="(default: %(default)s)")
    add("--architecture", choices=("x86_64", "arm64"), help="(default: the bundle's target, else x86_64)")
    add(
        "--cold-share",
        type=_share,
        default=0.01,
        metavar="SHARE",
        help="of the requests on demand that wait for a new environment (default: 0.01)",
    )
    add("--shadow", type=_share, default=0.0, metavar="SHARE", help="that a second version answers as well")
    add("--capture", type=_share, default=0.0, metavar="SHARE", help="that is kept in S3 for the monitors")
    add(
        "--monitor",
        type=int,
        nargs="?",
        const=Watching().every_minutes,
        default=0,
        metavar="MINUTES",
        help="how often a monitor looks at them (%(const)s, if it is not said)",
    )
    add(
        "--provisioned",
        type=int,
        metavar="N",
        help="environments kept initialised all day (default: so many that in the busiest hour 1 %% of the "
        "requests find all busy)",
    )
    add("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> int:
    """Reckon, and print a table, a chart and a sentence."""
    prices, work = prices_of(options.region), _workload(options)
    scheduled = bill.environments_for(work, 0.01)
    fixed = max(scheduled) if options.provisioned is None else options.provisioned
    if fixed < 1:
        raise CommandError(f"--provisioned is {fixed}, but the smallest number is 1: leave it out for none.")
    bills = {
        "on demand": bill.on_demand(work, prices),
        f"{fixed} provisioned": bill.provisioned(work, prices, [fixed] * HOURS),
        "scheduled": bill.provisioned(work, prices, scheduled),
        **(
            {"SageMaker": bill.sagemaker_serverless(work, prices)}
            if work.memory_gb <= bill.SAGEMAKER_MAX_GB
            else {}
        ),
        f"{bill.instances_for(work)} ml.m5.large": bill.instances(work, prices),
    }
    sentence = _conclusion(work, prices, bills)
    if options.json:
        sys.stdout.write(
            json.dumps(_as_json(options.region, work, prices, bills, scheduled, sentence)) + "\n"
        )
    else:
        _print(bills, sentence, options.region)
    return 0


def _workload(options: argparse.Namespace) -> Workload:
    manifest = read(bundle_at(options.bundle, options.bucket)) if options.bundle else None
    for name in ("duration_ms", "init_ms"):
        if manifest is None and getattr(options, name) is None:
            raise CommandError(
                f"--{name.replace('_', '-')} is missing: give it, or a BUNDLE, which has measured figures."
            )
    if not 0 <= options.monitor <= 60:
        raise CommandError(f"--monitor is {options.monitor}, but it takes whole minutes from 1 to 60.")
    if not 128 <= options.memory <= 10_240:
        raise CommandError(f"--memory is {options.memory}, but Lambda takes whole MB from 128 to 10240.")
    # Measured with one thread on a whole CPU, which is what 1,769 MB buy; less memory buys less of it.
    slower = max(1.0, _DEFAULT_MEMORY_MB / options.memory)
    return Workload(
        rates=options.rps,
        request_bytes=options.request_bytes,
        response_bytes=options.response_bytes,
        duration_ms=options.duration_ms
        if options.duration_ms is not None or manifest is None
        else manifest.after.latency_ms * slower,
        init_ms=options.init_ms
        if options.init_ms is not None or manifest is None
        else manifest.after.cold_start_ms * slower,
        memory_mb=options.memory,
        architecture=options.architecture or _architecture(manifest),
        model_bytes=manifest.after.size_bytes if manifest else 0,
        cold_share=options.cold_share,
        api=options.api,
        shadow=options.shadow,
        capture=options.capture,
        monitor_minutes=options.monitor,
    )


def _architecture(manifest: Any) -> str:
    return "arm64" if manifest is not None and manifest.target == "arm64" else "x86_64"


def _conclusion(work: Workload, prices: Prices, bills: dict[str, bill.Bill]) -> str:
    totals = {name: bill.total(one) for name, one in bills.items()}
    cheapest = min(totals, key=lambda name: totals[name])
    use = bill.worthwhile_use(prices, work.architecture)
    worth = (
        f"provisioned concurrency pays where an environment is busy {use:.0%} of the time"
        if use < 1
        else "provisioned concurrency buys latency and never saves here"
    )
    rate = bill.instance_break_even(work, prices)
    watched = f" {_watched(work, prices)}" if work.monitor_minutes else ""
    return (
        f"At {work.requests / 1e6:,.2f} million requests a month, '{cheapest}' is the cheapest with "
        f"${totals[cheapest]:,.2f}; {worth}, and one instance, if it is enough, from {rate:,.1f} requests "
        f"per second on.{watched}"
    )


def _watched(work: Workload, prices: Prices) -> str:
    """Which share of serving is watching, and from how much traffic on it is little."""
    rate = bill.watched_from(work, prices, _LITTLE)
    enough = (
        f"and at most {_LITTLE:.0%} from {rate:,.1f} requests per second on"
        if rate < math.inf
        else f"and never at most {_LITTLE:.0%} here: keep a smaller share of the requests, or less of them"
    )
    return f"Capture and monitor cost {bill.watched_share(work, prices):.1%} of serving on demand, {enough}."


def _as_json(  # noqa: PLR0913,PLR0917 - all that was reckoned
    region: str,
    work: Workload,
    prices: Prices,
    bills: dict[str, bill.Bill],
    scheduled: Sequence[int],
    sentence: str,
) -> dict[str, Any]:
    return {
        "region": region,
        "prices_read": table().read.isoformat(),
        "unverified_prices": _unverified(prices),
        "requests_per_month": work.requests,
        "bills": {name: {**one, "total": bill.total(one)} for name, one in bills.items()},
        "scheduled_environments": list(scheduled),
        "provisioned_pays_at_use": bill.worthwhile_use(prices, work.architecture),
        "instance_pays_at_rps": bill.instance_break_even(work, prices),
        **({"watching": _share_as_json(work, prices)} if work.monitor_minutes else {}),
        "conclusion": sentence,
    }


def _share_as_json(work: Workload, prices: Prices) -> dict[str, float | None]:
    rate = bill.watched_from(work, prices, _LITTLE)
    return {
        "share_of_serving": bill.watched_share(work, prices),
        f"at_most_{_LITTLE:g}_from_rps": rate if rate < math.inf else None,
    }


def _unverified(prices: Prices) -> list[str]:
    return [name for name in prices.__struct_fields__ if getattr(prices, name).evidence == "none"]


def _print(bills: dict[str, bill.Bill], sentence: str, region: str) -> None:
    console = Console(highlight=False)
    lines = list(dict.fromkeys(line for one in bills.values() for line in one))
    grid = Table("$ a month", *bills, box=None, pad_edge=False)
    for column in grid.columns[1:]:
        column.justify = "right"
        column.no_wrap = True
    for line in lines:
        grid.add_row(line, *(f"{one[line]:,.2f}" if line in one else "" for one in bills.values()))
    grid.add_row("total", *(f"{bill.total(one):,.2f}" for one in bills.values()), style="bold")
    console.print(grid)
    most = max(bill.total(one) for one in bills.values())
    chart = Table(box=None, show_header=False, pad_edge=False)
    for name, one in bills.items():
        cost = bill.total(one)
        chart.add_row(name, Bar(most, 0, cost, width=_BAR_WIDTH), f"{cost:,.2f}")
    console.print(chart)
    unverified = len(_unverified(prices_of(region)))
    console.print(sentence, soft_wrap=True)
    console.print(
        f"Prices of {region} as of {table().read.isoformat()}, without free tiers and discounts"
        + (f"; {unverified} of them could not be verified (coldpress/prices.toml)." if unverified else "."),
        soft_wrap=True,
    )


def _rates(text: str) -> list[float]:
    rates = [_amount(part) for part in text.split(",")]
    if len(rates) not in (1, HOURS):
        raise argparse.ArgumentTypeError(f"'{text}' has {len(rates)} rates, but a day has 1 or {HOURS}")
    return rates * (HOURS // len(rates))


def _amount(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < 1e12:
        raise argparse.ArgumentTypeError(f"'{text}' is no number from 0 up")
    return number


def _share(text: str) -> float:
    number = _amount(text)
    if number > 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no share from 0 to 1")
    return number
