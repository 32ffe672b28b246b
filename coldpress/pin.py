"""Pinning: the one place where a stage's configuration is told which bundle it deploys."""

import argparse
import json
import os
from pathlib import Path
from typing import Any

from bundle.registry import Pushed
from coldpress.errors import CommandError


def add_config_argument(parser: argparse.ArgumentParser) -> None:
    """Declare which file ``pin`` writes."""
    parser.add_argument(
        "--config", type=Path, default=Path("cdk.json"), help="the file to pin in (default: cdk.json)"
    )


def pin(config: Path, stage: str, pushed: Pushed, shadow: float | None = None) -> None:
    """Write version and digest into ``coldpress.<stage>`` of a ``cdk.json``, and nothing else.

    They go into ``model``, with the name, or into the model's own object where the stage has ``models``; with
    ``shadow``, a share of the requests, into what is the model's ``shadow`` then.

    The file is written anew as JSON indented by two spaces.

    Raises:
        CommandError: the file is missing, no JSON, or has no such stage or model.
    """
    content, chosen = _read(config, stage, pushed.name)
    if chosen.get("models"):
        model = chosen["models"][pushed.name]
    else:
        model = chosen.setdefault("model", {})
        model["name"] = pushed.name
    pinned = {"version": pushed.version, "digest": pushed.digest}
    if shadow is not None:
        model["shadow"] = {**pinned, "share": shadow}
    else:
        model.update(pinned)
        if pushed.version in model.get("versions", []):
            # It serves again: among those that served before it would be refused.
            model["versions"].remove(pushed.version)
        if pushed.digest == (model.get("shadow") or {}).get("digest"):
            del model["shadow"]  # it serves now
    partial = config.with_name(f".{config.name}.{os.getpid()}")
    try:
        partial.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        partial.replace(config)
    finally:
        partial.unlink(missing_ok=True)


def check(config: Path, stage: str, model: str) -> None:
    """Raise what ``pin`` would raise, before anything else is done."""
    _read(config, stage, model)


def check_shadow(config: Path, stage: str, model: str, digest: str) -> None:
    """Whether the bundle can be the shadow of what the stage serves.

    Raises:
        CommandError: as ``pin``; or nothing serves yet, or another model or this very bundle does.
    """
    _, chosen = _read(config, stage, model)
    serving = {"name": model, **chosen["models"][model]} if chosen.get("models") else chosen.get("model", {})
    where = f"{config}: context.coldpress.{stage}"
    if not serving.get("digest"):
        raise CommandError(
            f"{where} serves no bundle yet, beside which there could be a shadow: pin one first."
        )
    if serving["name"] != model:
        raise CommandError(
            f"{where} serves {serving['name']}, and {model} is another model: it is no shadow of it."
        )
    if serving["digest"] == digest:
        raise CommandError(
            f"{where} serves this bundle already, as version {serving.get('version', 1)}, and it cannot be "
            "its own shadow: push another one."
        )


def _read(config: Path, stage: str, model: str) -> tuple[Any, dict[str, Any]]:
    """The whole configuration and, inside it, the stage."""
    try:
        content = json.loads(config.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CommandError(
            f"{config} does not exist: run this where cdk.json is, or name it with --config."
        ) from None
    except ValueError as error:
        raise CommandError(f"{config} is not JSON ({error}): mend it first.") from None
    context = content.get("context") if isinstance(content, dict) else None
    stages = context.get("coldpress") if isinstance(context, dict) else None
    if isinstance(stages, dict):
        stages = {name: stages[name] for name in stages if name != "registry"}  # what all of them share
    if not isinstance(stages, dict) or not isinstance(stages.get(stage), dict):
        known = ", ".join(stages) if isinstance(stages, dict) and stages else "none"
        raise CommandError(f"{config} has no stage '{stage}' in context.coldpress (it has: {known}).")
    several = stages[stage].get("models")
    if several and model not in several:
        raise CommandError(
            f"{config} has no model '{model}' in context.coldpress.{stage}.models (it has: "
            f"{', '.join(several)}): add it there first."
        )
    return content, stages[stage]
