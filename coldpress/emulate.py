"""``coldpress emulate``: AWS on this machine, for `cdk deploy` without an account, until Ctrl-C."""

import argparse
import shlex
import sys
from pathlib import Path

from coldpress.errors import CommandError
from coldpress.waiting import stop_requested
from emulator.server import CannotStart, Emulator
from emulator.settings import DEFAULT_PORT


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare what the subcommand takes."""
    parser.add_argument(
        "--port", type=int, default=DEFAULT_PORT, help=f"0: any free one (default: {DEFAULT_PORT})"
    )
    parser.add_argument(
        "--state-dir",
        type=Path,
        default=Path(".coldpress/emulator"),
        help="logs and images (default: %(default)s)",
    )


def run(options: argparse.Namespace) -> int:
    """Start it, print the variables that point AWS's tools at it, and wait."""
    stop = stop_requested()
    try:
        with Emulator(options.port, options.state_dir) as emulator:
            sys.stdout.write("# AWS is emulated on this machine until Ctrl-C. In another shell:\n")
            for name, value in emulator.environment().items():
                sys.stdout.write(f"export {name}={shlex.quote(value)}\n")
            sys.stdout.flush()
            stop.wait()
    except CannotStart as error:
        raise CommandError(str(error)) from None
    return 0
