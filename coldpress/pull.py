"""``coldpress pull``: a bundle of the registry onto this machine, and its folder on stdout."""

import argparse
import json
import sys

from coldpress.cache import pull
from coldpress.handles import add_bucket_argument, parse_name


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare what the subcommand takes."""
    parser.add_argument(
        "model",
        metavar="NAME[:VERSION|@LABEL|@DIGEST]",
        help="which model (default: its newest version); a handle hub://… or s3://… as well",
    )
    add_bucket_argument(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the folder")


def run(options: argparse.Namespace) -> int:
    """Pull, and print where it is."""
    pulled = pull(parse_name(options.model), options.bucket)
    if options.json:
        sys.stdout.write(json.dumps({**pulled._asdict(), "folder": str(pulled.folder)}) + "\n")
    else:
        sys.stdout.write(f"{pulled.folder}\n")
    return 0
