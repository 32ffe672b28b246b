"""``coldpress``: the subcommands and what they share when something is wrong."""

import argparse
import sys
from collections.abc import Sequence

from bundle.errors import BundleError
from coldpress import emulate, invoke, optimize, push, serve
from coldpress.errors import CommandError

_SUBCOMMANDS = (push, serve, invoke, emulate)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand and return its exit status: 0 done, 2 wrong input, 130 stopped by Ctrl-C."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["optimize"]:
        return optimize.main(arguments[1:])
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except (BundleError, CommandError, OSError) as error:
        sys.stderr.write(f"coldpress {options.command}: error: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write(f"coldpress {options.command}: stopped.\n")
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="coldpress", description="Press a trained model small, serve it from zero."
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    subparsers.add_parser("optimize", help="press a trained model into a bundle", add_help=False)
    for module in _SUBCOMMANDS:
        module.add_parser(subparsers)
    return parser
