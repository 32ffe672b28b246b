"""``coldpress status``: what a stage serves now, from which version, and how it is."""

import argparse
import json
import sys
from collections.abc import Iterator
from typing import Any

from coldpress import aws
from coldpress.deployed import Deployed, Version, add_arguments, open_stage
from coldpress.shadow import read_shadow


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare what the subcommand takes."""
    add_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print a JSON list, one object a model")


@aws.one_sentence()
def run(options: argparse.Namespace) -> int:
    """Print it."""
    stage = [_read(deployed) for deployed in open_stage(options.stack, options.model)]
    if options.json:
        sys.stdout.write(json.dumps(stage) + "\n")
        return 0
    for status in stage:
        sys.stdout.write("\n".join(_lines(status)) + "\n")
    return 0


def _read(deployed: Deployed) -> dict[str, Any]:
    stack, rollout, shadow = deployed.description, deployed.rollout(), read_shadow(deployed)
    return {
        "stack": deployed.stack,
        "stack_status": stack["StackStatus"],
        "deployed_at": str(stack.get("LastUpdatedTime") or stack["CreationTime"]),
        "endpoint": deployed.url,
        "function": deployed.function,
        "alias": deployed.alias_name,
        "deployed_digest": deployed.deployed_digest,
        "traffic": _traffic(deployed),
        "versions": [_version(version) for version in deployed.versions],
        "provisioned_concurrency": [config._asdict() for config in deployed.provisioned()],
        "alarms": {alarm["AlarmName"]: alarm["StateValue"] for alarm in deployed.alarms()},
        "rollout": rollout._asdict() if rollout else None,
        "shadow": shadow._asdict() if shadow else None,
    }


def _traffic(deployed: Deployed) -> dict[str, float]:
    """The share of the requests that each version gets."""
    canary = deployed.canary
    if canary is None:
        return {str(deployed.serving.number): 1.0}
    version, share = canary
    return {str(deployed.serving.number): round(1 - share, 4), str(version.number): share}


def _version(version: Version) -> dict[str, Any]:
    return {
        "version": version.number,
        "model": version.model,
        "model_version": version.model_version,
        "digest": version.digest,
        "memory_mb": version.memory_mb,
        "state": version.state,
    }


def _lines(status: dict[str, Any]) -> Iterator[str]:
    yield f"{status['stack']}: {status['stack_status']}, deployed {status['deployed_at']}"
    yield f"  endpoint     {status['endpoint']}"
    shares = (f"version {number} ({share:.0%})" for number, share in status["traffic"].items())
    yield f"  alias        {status['alias']} -> {', '.join(shares)}"
    yield f"  provisioned  {_provisioned(status)}"
    yield f"  rollout      {_rollout(status['rollout'])}"
    yield f"  alarms       {_alarms(status['alarms'])}"
    if status["shadow"]:
        yield f"  shadow       {_shadow(status['shadow'])}"
    for version in status["versions"]:
        share = status["traffic"].get(str(version["version"]))
        yield (
            f"  {'*' if share else ' '} {version['version']:>4}  {version['model']} version "
            f"{version['model_version']}, digest {version['digest'][:12]}, {version['memory_mb']} MB"
            + ("" if version["state"] == "Active" else f", {version['state']}")
        )


def _provisioned(status: dict[str, Any]) -> str:
    configs = (
        f"{config['qualifier']}: {config['available']} of {config['requested']} ready ({config['status']})"
        for config in status["provisioned_concurrency"]
    )
    return ", ".join(configs) or "none: served from zero"


def _rollout(rollout: dict[str, Any] | None) -> str:
    if rollout is None:
        return "none yet by CodeDeploy"
    why = f": {rollout['why']}" if rollout["why"] else ""
    return f"{rollout['id']} {rollout['status']}, created {rollout['created']}{why}"


def _alarms(alarms: dict[str, str]) -> str:
    bad = [f"{name} {state}" for name, state in alarms.items() if state != "OK"]
    return ", ".join(bad) or f"all {len(alarms)} OK"


def _shadow(shadow: dict[str, Any]) -> str:
    if not shadow["digest"]:
        return f"its function {shadow['function']} is gone"
    told = "nothing compared within a day"
    if shadow["agreement"] is not None:
        told = f"agreement {shadow['agreement']:.2%} within a day ({shadow['requests']} requests, "
        told += f"{shadow['errors']} errors)"
    which = f"version {shadow['version']}, digest {shadow['digest'][:12]}"
    return f"{which}, {shadow['share']:.4g} of the requests: {told}"
