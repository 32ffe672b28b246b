"""``coldpress push``: a bundle into the registry, and its version on stdout."""

import argparse
import json
import sys
from pathlib import Path

from bundle.folder import verify
from bundle.registry import Pushed, Registry
from coldpress.cache import open_registry
from coldpress.errors import CommandError
from coldpress.handles import BUNDLE, add_bucket_argument, bundle_at
from coldpress.pin import add_config_argument, check, check_shadow, pin
from coldpress.progress import transfer


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare what the subcommand takes."""
    parser.add_argument(
        "bundle", metavar=BUNDLE, help="the folder that `optimize` printed, or one of another registry"
    )
    add_bucket_argument(parser)
    parser.add_argument(
        "--pin", metavar="STAGE", help="write version and digest into this stage of the configuration"
    )
    parser.add_argument(
        "--shadow",
        type=_share,
        metavar="SHARE",
        help="with --pin: it shall get this share of the requests as well, as the stage's shadow, not serve",
    )
    parser.add_argument(
        "--original",
        type=Path,
        metavar="MODEL",
        help="the trained model that the bundle was pressed of, for the monitor to compare with",
    )
    add_config_argument(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a sentence")


def run(options: argparse.Namespace) -> int:
    """Push, pin if asked, and say what the registry holds now."""
    folder = bundle_at(options.bundle)  # a handle's is where it comes from, and --bucket where it goes
    manifest = verify(folder)
    if options.shadow is not None and not options.pin:
        raise CommandError("--shadow needs a stage whose requests it is a share of: add --pin STAGE.")
    if options.pin:
        check(options.config, options.pin, manifest.name)
    if options.shadow is not None:
        check_shadow(options.config, options.pin, manifest.name, manifest.digest)
    registry = open_registry(options.bucket)
    if options.original is not None:
        registry.push_original(manifest, options.original)
    pushed = _push(registry, folder)
    if options.pin:
        pin(options.config, options.pin, pushed, options.shadow)
    if options.json:
        sys.stdout.write(json.dumps({"bucket": registry.bucket, **pushed._asdict()}) + "\n")
        return 0
    what = "is now" if pushed.created else "already was"
    sys.stdout.write(
        f"{pushed.name} {pushed.digest} {what} version {pushed.version} in s3://{registry.bucket}\n"
    )
    if options.original is not None:
        sys.stdout.write(f"{options.original} is beside it, for the monitor\n")
    if options.pin:
        what = "is pinned to it" if options.shadow is None else "has it as its shadow"
        sys.stdout.write(f"{options.config}: stage {options.pin} {what}; deploy with `cdk deploy`\n")
    return 0


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no share: give a number above 0 and up to 1")
    return share


def _push(registry: Registry, bundle: Path) -> Pushed:
    with transfer("pushing", sum(path.stat().st_size for path in bundle.iterdir())) as progress:
        return registry.push(bundle, progress)
