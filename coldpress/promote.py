"""``coldpress promote``: what one stage serves goes on to another, or a canary gets all traffic."""

import argparse
import sys

from bundle.registry import Registry
from coldpress import aws
from coldpress.deployed import Deployed, Version, add_arguments, open_one
from coldpress.errors import CommandError
from coldpress.pin import add_config_argument, check, pin


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare what the subcommand takes."""
    add_arguments(parser)
    parser.add_argument("--label", help="move this label in the registry to the model that STACK serves")
    parser.add_argument(
        "--pin",
        metavar="STAGE",
        help="write the model that STACK serves into this stage of the configuration",
    )
    add_config_argument(parser)
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
    pushed = serving.pushed
    if options.label:
        registry = Registry(serving.bucket, aws.s3_client())
        known = registry.label(serving.model, options.label)
        registry.move_label(serving.model, options.label, serving.digest, known)
        sys.stdout.write(
            f"label {options.label} of {serving.model} -> version {pushed.version}, {serving.digest}\n"
        )
    if options.pin:
        pin(options.config, options.pin, pushed)
        sys.stdout.write(
            f"{options.config}: stage {options.pin} is pinned to {serving.model} version {pushed.version}; "
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
    deployed.move_alias(canary[0])
    return 0
