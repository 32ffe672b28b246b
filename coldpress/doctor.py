"""``coldpress doctor``: what is wrong with a deployed stage, and what to do about it, one sentence each."""

import argparse
import sys
from pathlib import Path

from botocore.exceptions import ClientError

from coldpress import aws
from coldpress.checks import CHECKS, Skipped, Template
from coldpress.deployed import Deployed, add_arguments, open_stage
from coldpress.wanted import read_wanted


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare what the subcommand takes."""
    add_arguments(parser)
    parser.add_argument(
        "--config",
        type=Path,
        default=Path("cdk.json"),
        help="what is wanted: synthesised, and compared with what is deployed (default: cdk.json)",
    )


@aws.one_sentence()
def run(options: argparse.Namespace) -> int:
    """Print every finding; the exit status is 1 if there is one."""
    stage = open_stage(options.stack, options.model)
    wanted = read_wanted(options.config, options.stack)
    findings = sum(_examine(deployed, wanted) for deployed in stage)
    return 1 if findings else 0


def _examine(deployed: Deployed, wanted: Template | None) -> int:
    """Print what is found; how much it is."""
    findings, checked = 0, 0
    for title, check in CHECKS.items():
        try:
            for finding in check(deployed, wanted):
                findings += 1
                sys.stdout.write(f"{title}: {finding}\n")
            checked += 1
        except Skipped as skipped:
            sys.stdout.write(f"not checked, {title}: {skipped}\n")
        except ClientError as error:
            sys.stdout.write(f"not checked, {title}: AWS does not tell ({aws.error_code(error)}).\n")
    if not findings:
        sys.stdout.write(f"{deployed.stack}, {deployed.serving.model}: nothing found in {checked} checks.\n")
    return findings
