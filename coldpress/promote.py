"""``coldpress promote``: what one stage serves goes on to another, or a canary gets all traffic."""

import argparse
import sys
from pathlib import Path

from bundle.registry import Pushed, Registry
from coldpress import aws
from coldpress.deployed import Deployed, Version, add_arguments, open_one
from coldpress.errors import CommandError
from coldpress.pin import check, pin


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare what the subcommand takes."""
    add_arguments(parser)
    parser.add_argument("--label", help="move this label in the registry to the model that STACK serves")
    parser.add_argument(
        "--pin",
        metavar="STAGE",
        help="write the model that STACK serves into this stage of the configuration",
    )
    parser.add_argument(
        "--config", type=Path, default=Path("cdk.json"), help="the file to pin in (default: cdk.json)"
    )
    parser.epilog = "With neither --label nor --pin, the new version of a canary gets all requests."


@aws.one_sentence()
def run(options: argparse.Namespace) -> int:
    """Promote what serves, or finish a canary; say what was done."""
    deployed = open_one(options.stack, options.model)
    if options.pin:
        check(options.config, options.pin, deployed.serving.model)
    if not options.label and not options.pin:
        return _finish(deployed)
    serving = _settled(deployed)
    number = int(serving.model_version) if serving.model_version.isdecimal() else 1
    if options.label:
        registry = Registry(serving.bucket, aws.s3_client())
        known = registry.label(serving.model, options.label)
        registry.move_label(serving.model, options.label, serving.digest, known)
        sys.stdout.write(f"label {options.label} of {serving.model} -> version {number}, {serving.digest}\n")
    if options.pin:
        pin(options.config, options.pin, Pushed(serving.model, serving.digest, number, created=False))
        sys.stdout.write(
            f"{options.config}: stage {options.pin} is pinned to {serving.model} version {number}; "
            f"deploy with `cdk deploy coldpress-{options.pin}`\n"
        )
    return 0


def _settled(deployed: Deployed) -> Version:
    """What all requests get."""
    if deployed.canary is not None:
        raise CommandError(
            f"'{deployed.stack}' is in the middle of a canary: finish it with `coldpress promote "
            f"{deployed.stack}`, or undo it with `coldpress rollback {deployed.stack}`."
        )
    return deployed.serving


def _finish(deployed: Deployed) -> int:
    rollout, canary = deployed.rollout(), deployed.canary
    if rollout is not None and rollout.is_running:
        raise CommandError(
            f"CodeDeploy's deployment {rollout.id} moves the traffic itself and is not to be hurried: let it "
            f"end, for CloudFormation waits for it, or undo it with `coldpress rollback {deployed.stack}`."
        )
    if canary is None:
        raise CommandError(
            f"'{deployed.stack}' has no canary to finish: with --label or --pin, what it serves is promoted."
        )
    version, _ = canary
    deployed.move_alias(version)
    sys.stdout.write(
        f"{deployed.alias_name} -> version {version.number}: {version.model} version "
        f"{version.model_version}, digest {version.digest}\n"
    )
    return 0
