"""``coldpress watch``: is it still right, yes or no, and what has moved; exit status 1 where it is not."""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from coldpress import aws
from coldpress.deployed import Deployed, add_arguments, open_stage
from coldpress.errors import CommandError
from handlers.monitor import watched
from handlers.monitor.pressed import NotWatchable
from handlers.monitor.status import Change, Share, Status, decode, moment
from handlers.monitor.store import PAGE, STATUS, Moved, Store

# Runs are an hour apart at most, and what has not changed is told again within an hour (handlers/monitor).
_STALE_S = 2 * 3600
_CHANGES = 5


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare what the subcommand takes."""
    add_arguments(parser)
    parser.add_argument("--page", type=Path, metavar="FILE", help="save the page, to look at in a browser")
    parser.add_argument(
        "--begin-anew",
        action="store_true",
        help="clear the alarms of what is served: what they told is understood, and what comes next counts",
    )
    parser.add_argument("--json", action="store_true", help="print a JSON list, one object a model")


@aws.one_sentence()
def run(options: argparse.Namespace) -> int:
    """Print what the monitor found last."""
    stage = open_stage(options.stack, options.model)
    if options.page is not None and len(stage) > 1:
        known = ", ".join(one.serving.model for one in stage)
        raise CommandError(f"--page takes the page of one model: name it with --model ({known}).")
    stores = [(deployed, _store(deployed)) for deployed in stage]
    if options.begin_anew:
        for deployed, store in stores:
            _begin_anew(deployed, store)
        return 0
    found = [_read(deployed, store) for deployed, store in stores]
    if options.page is not None:
        ((deployed, store),) = stores
        saved = store.load(deployed.serving.digest, PAGE)
        options.page.write_bytes(saved.data if saved else b"")
    if options.json:
        sys.stdout.write(json.dumps([msgspec.to_builtins(status) for status in found]) + "\n")
    else:
        for status in found:
            sys.stdout.write("\n".join(_lines(status)) + "\n")
    return int(any(status.right is False or _is_stale(status) for status in found))


def _store(deployed: Deployed) -> Store:
    bucket, model = deployed.output("CaptureBucket"), deployed.serving.model
    if not bucket:
        raise CommandError(
            f"'{deployed.stack}' keeps no requests of {model}, so nobody watches it: write "
            '"capture": {}, "monitor": {} into its stage in cdk.json, and deploy.'
        )
    return Store(aws.s3_client(), bucket, model)


def _read(deployed: Deployed, store: Store) -> Status:
    """Of what is served; during a canary, of the version that is served to most."""
    serving = deployed.serving
    saved = store.load(serving.digest, STATUS)
    if saved is None:
        raise CommandError(
            f"nothing has looked at {serving.model} version {serving.model_version} yet: wait for the first "
            'run of its schedule, or write "monitor": {} into its stage in cdk.json, and deploy.'
        )
    try:
        return decode(saved.data)
    except msgspec.DecodeError:
        raise CommandError(
            f"s3://{store.bucket}/{store.key_of(serving.digest, STATUS)} is another release's: deploy the "
            "stage anew, or use that release."
        ) from None


def _begin_anew(deployed: Deployed, store: Store) -> None:
    digest, model = deployed.serving.digest, deployed.serving.model
    saved = store.load(digest)
    if saved is None:
        raise CommandError(f"nothing was watched of {model} yet, so there is nothing to begin anew.")
    now = time.time()
    try:
        state = watched.decode(saved.data)
    except NotWatchable:
        state = watched.begin(digest, deployed.serving.model_version, now)
    # Which objects were read stays: what they hold has been looked at.
    fresh = watched.begin(digest, state.version, now)
    for name in ("cursor", "seen", "join", "tally", "labels_since", "label_keys", "totals", "history"):
        setattr(fresh, name, getattr(state, name))
    try:
        store.save(digest, watched.encode(fresh), saved)
    except Moved:
        raise CommandError("the monitor is running right now: try again in a minute.") from None
    sys.stdout.write(f"{model} version {state.version} is watched anew; the next run says so\n")


def _is_stale(status: Status) -> bool:
    return time.time() - status.updated > _STALE_S


def _lines(status: Status) -> Iterator[str]:
    looked = moment(status.updated)
    yield f"{status.model} version {status.version} ({status.digest[:12]}), looked at {looked}"
    yield f"  {status.sentence}"
    if _is_stale(status):
        yield "  This is old: the monitor does not run any more. See its log."
    yield f"  drift      evidence {status.drift:.3g} of 1, {status.requests:,} requests"
    yield f"  right      {_share(status.quality)}" + _estimate(status)
    if status.metric is not None:
        found = status.metric
        yield f"  metric     {found.name} {found.lately:.4g} lately, {found.verified:.4g} when verified"
    yield f"  agreement  {_share(status.agreement)}"
    for change in status.changes[:_CHANGES]:
        yield f"  moved      {_change(change)}"
    if status.examples:
        yield "  see        " + ", ".join(example.id for example in status.examples)
    for finding in status.findings[:_CHANGES]:
        yield f"  data       {finding}"


def _share(share: Share) -> str:
    if share.lately is None:
        return f"unknown: {share.unknown}"
    should = "" if share.expected is None else f", at least {share.expected:.1%} should be"
    return f"{share.lately:.1%} of the last of {share.count:,}{should}{' (ALARM)' if share.alarm else ''}"


def _estimate(status: Status) -> str:
    if status.estimate is None or status.quality.lately is not None:
        return ""
    return f"; by its own confidence {status.estimate:.1%}"


def _change(change: Change) -> str:
    values = ""
    if change.now is not None and change.before is not None:
        values = f", {change.before:.4g} before, {change.now:.4g} now"
    since = f", since {moment(change.since)}" if change.since else ""
    return f"{change.score}: {change.direction}{values}{since} (evidence {change.evidence:.3g})"
