"""``coldpress``: the subcommands and what they share when something is wrong."""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from bundle.errors import BundleError
from coldpress.errors import CommandError

# Each is a module here with ``configure(parser)`` and ``run(options)``, imported only when it is called:
# ONNX Runtime, boto3 and the emulator each take a while.
_SUBCOMMANDS = {
    "optimize": "press a trained model into a bundle",
    "push": "upload a bundle to the registry and give it a version",
    "models": "what the registry holds, where it came from, and which of it may go",
    "pull": "a bundle of the registry onto this machine, verified, once",
    "diff": "two bundles side by side: signature, figures, answers",
    "serve": "the same endpoint on this machine, until Ctrl-C",
    "invoke": "send one request to a deployed endpoint",
    "batch": "have every object below a prefix of S3 answered, or those that failed",
    "label": "say what was right for requests that were captured",
    "size": "latency, cold start and cost at Lambda's memory sizes, and which to take",
    "cost": "what a month costs at a given traffic, beside other ways to serve",
    "status": "what a stage serves, from which version, and how it is",
    "watch": "whether a stage's models are still right, and what has moved",
    "promote": "what one stage serves goes on to another, or a canary gets all traffic",
    "rollback": "the version before takes over again, or the running rollout is undone",
    "doctor": "what is wrong with a deployed stage, and what to do about it",
    "destroy": "remove a stage and all of it that bills",
    "emulate": "AWS on this machine, until Ctrl-C",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand and return its exit status: 0 done, 2 wrong input, 130 stopped by Ctrl-C."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    name = next(iter(arguments), "")
    if name == "optimize":
        # Also a command of its own, so it reads its arguments itself.
        return int(import_module("coldpress.optimize").main(arguments[1:]))
    try:
        options = _parser(name).parse_args(arguments)
        return int(options.run(options))
    except (BundleError, CommandError, OSError) as error:
        sys.stderr.write(f"coldpress {name}: error: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write(f"coldpress {name}: stopped.\n")
        return 130


def _parser(chosen: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="coldpress", description="Press a trained model small, serve it from zero."
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, what in _SUBCOMMANDS.items():
        subparser = subparsers.add_parser(name, help=what, description=what)
        if name == chosen:
            module = import_module(f"coldpress.{name}")
            module.configure(subparser)
            subparser.set_defaults(run=module.run)
    return parser
