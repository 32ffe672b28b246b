"""``coldpress rollback``: the retained version before takes over again, or the running rollout is undone."""

import argparse
import sys

from coldpress import aws
from coldpress.deployed import Deployed, Rollout, Version, add_arguments, open_one
from coldpress.errors import CommandError
from coldpress.pin import add_config_argument, check, pin
from handlers.direct import http_event


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare what the subcommand takes."""
    add_arguments(parser)
    parser.add_argument(
        "--to",
        type=int,
        metavar="VERSION",
        help="the function's version to go back to (default: the one that served before)",
    )
    parser.add_argument(
        "--pin",
        metavar="STAGE",
        help="write the model that serves then into this stage, so that the next `cdk deploy` keeps it",
    )
    add_config_argument(parser)


@aws.one_sentence()
def run(options: argparse.Namespace) -> int:
    """Undo what is under way, else move the alias back; say what serves then."""
    deployed = open_one(options.stack, options.model)
    if options.pin:
        check(options.config, options.pin, deployed.serving.model)
    rollout = deployed.rollout()
    if rollout is not None and rollout.is_running:
        _stop(rollout, options.to)
        serves = deployed.serving
    else:
        serves = _target(deployed, options.to)
        _move(deployed, serves)
    if options.pin:
        pin(options.config, options.pin, serves.pushed)
        sys.stdout.write(f"{options.config}: stage {options.pin} is pinned to it\n")
    elif serves.digest != deployed.deployed_digest:
        sys.stdout.write(
            "The stack still names the newer digest, and the next deployment would bring it back: "
            "pin this one, with --pin STAGE.\n"
        )
    return 0


def _stop(rollout: Rollout, wanted: int | None) -> None:
    """Let CodeDeploy move the traffic back itself: CloudFormation waits for it, and learns of it."""
    if wanted is not None:
        raise CommandError(
            f"CodeDeploy's deployment {rollout.id} is running: roll it back first, without --to."
        )
    aws.client("codedeploy").stop_deployment(deploymentId=rollout.id, autoRollbackEnabled=True)
    sys.stdout.write(f"CodeDeploy's deployment {rollout.id} is being stopped and rolled back\n")


def _move(deployed: Deployed, version: Version) -> None:
    _check_answers(deployed, version)
    kept, before = {config.qualifier for config in deployed.provisioned()}, deployed.serving
    deployed.move_alias(version)
    if str(before.number) in kept and str(version.number) not in kept:
        sys.stdout.write(
            f"version {version.number} has no provisioned concurrency, so it serves on demand; deploy it to "
            "have some\n"
        )


def _target(deployed: Deployed, wanted: int | None) -> Version:
    if wanted is not None:
        return deployed.version(wanted)
    if deployed.canary is not None:
        return deployed.serving  # the old one still has most of the traffic; it gets the rest back
    before = deployed.predecessor()
    if before is None:
        raise CommandError(
            f"no version is known to have served before {deployed.serving.number} that is still there: name "
            "one with --to (see `coldpress status`), or pin an older model and deploy it."
        )
    return before


def _check_answers(deployed: Deployed, version: Version) -> None:
    """An old version may have lost its bundle, or be asleep: find out before the traffic does."""
    answer = deployed.invoke(version, http_event("/v2/health/ready", method="GET"))
    status = answer.get("statusCode") if isinstance(answer, dict) else None
    if status != 200:
        raise CommandError(
            f"version {version.number} is not ready (it answers {status}), so the alias was not moved: "
            "name another with --to."
        )
