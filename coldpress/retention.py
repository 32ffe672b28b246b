"""``coldpress models prune``: which old bundles nothing names, and their deletion.

Kept are the newest versions of each model, and what somebody can still ask for: what a label points at, what
a function that is deployed in this region serves (in any of its versions, for rollbacks), and what cdk.json
pins. A bundle without a version is kept for a day: it may be a push that is under way.

Deleting goes in an order that leaves nothing half there: first the version, then the manifest, without which
nobody takes the rest for a bundle. Then what names it is looked for once more, and the manifest is put back
if something does. Last go the files. What a killed prune leaves has no version, and the next takes it up.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from bundle.layout import MANIFEST_FILE
from bundle.registry import Registry, Stored
from coldpress import aws
from coldpress.cache import open_registry
from coldpress.catalog import Entry, Model, from_registry
from coldpress.errors import CommandError
from optimizer.units import size

_PUSH_TAKES_AT_MOST = timedelta(days=1)
_IN_DESCRIPTION = re.compile(r"\bdigest ([0-9a-f]{64})\b")
_MEANWHILE = "somebody began to use it meanwhile"


class Doomed(NamedTuple):
    """A bundle that nothing names, and what of it is in the bucket."""

    model: str
    entry: Entry
    objects: list[Stored]

    @property
    def size(self) -> int:
        """Bytes that a deletion takes away."""
        return sum(one.size for one in self.objects)


class Kept(NamedTuple):
    """A bundle that stays, and why."""

    model: str
    entry: Entry
    why: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the rule."""
    parser.add_argument(
        "--keep-last",
        required=True,
        type=_count,
        metavar="N",
        help="the newest versions of each model stay, this many",
    )
    parser.add_argument("--yes", action="store_true", help="delete; without it nothing is changed")


@aws.one_sentence()
def run(options: argparse.Namespace) -> int:
    """Say which bundles go and why others stay; with --yes they go."""
    if options.folder is not None or options.html is not None:
        raise CommandError("prune is of the registry alone, and has no page: leave --folder and --html out.")
    registry = open_registry(options.bucket)
    models = from_registry(registry, [options.model] if options.model else None)
    pins = {**_deployed(), **_pinned(options.config, models)}
    doomed, kept = _judge(registry, models, options.keep_last, pins)
    gone, spared = _delete(registry, doomed) if options.yes else ([], [])
    if options.json:
        sys.stdout.write(json.dumps(_as_json(doomed, kept, gone, spared, deleted=options.yes)) + "\n")
        return 0
    for line in _lines(registry.bucket, doomed, kept, spared, deleted=options.yes):
        sys.stdout.write(f"{line}\n")
    return 0


def _judge(
    registry: Registry, models: Iterable[Model], keep_last: int, pins: dict[str, str]
) -> tuple[list[Doomed], list[Kept]]:
    """What goes; and what stays, with the reason."""
    doomed, kept = [], []
    for model in models:
        stored = registry.stored(model.name)
        numbers = sorted((number for entry in model.entries for number in entry.versions), reverse=True)
        reasons = [(entry, _reason(entry, stored, numbers[:keep_last], pins)) for entry in model.entries]
        stay = [entry for entry, why in reasons if why]
        kept += [Kept(model.name, entry, why) for entry, why in reasons if why]
        doomed += [
            Doomed(model.name, entry, list(_objects(entry, stored, stay)))
            for entry, why in reasons
            if not why
        ]
    return doomed, kept


def _reason(entry: Entry, stored: list[Stored], newest: list[int], pins: dict[str, str]) -> str:
    """Why a bundle stays; empty where it may go."""
    if set(entry.versions) & set(newest):
        return f"one of the newest {len(newest)}" if len(newest) > 1 else "the newest"
    if entry.labels:
        return f"label {', '.join(entry.labels)}"
    if entry.digest in pins:
        return pins[entry.digest]
    if entry.written and entry.manifest is None:
        return f"what it is cannot be read ({entry.problem})"
    touched = max((one.modified for one in stored if one.key.startswith(f"{entry.digest}/")), default=None)
    if not entry.versions and touched and datetime.now(UTC) - touched < _PUSH_TAKES_AT_MOST:
        return "no version yet, and a day is left to the push that may be under way"
    return ""


def _objects(entry: Entry, stored: list[Stored], stay: list[Entry]) -> Iterator[Stored]:
    """In the order in which they go: versions, the manifest, the files, the original if no other needs it."""
    keys = [f"versions/{number}" for number in entry.versions]
    yield from (one for one in stored if one.key in keys)
    files = [one for one in stored if one.key.startswith(f"{entry.digest}/")]
    yield from sorted(files, key=lambda one: (not one.key.endswith(f"/{MANIFEST_FILE}"), one.key))
    needed = {other.manifest.source.sha256 for other in stay if other.manifest}
    if entry.manifest and entry.manifest.source.sha256 not in needed:
        original = f"originals/{entry.manifest.source.sha256}"
        yield from (one for one in stored if one.key == original)


def _delete(registry: Registry, doomed: list[Doomed]) -> tuple[list[Doomed], list[Doomed]]:
    """What went, and what somebody began to use meanwhile, whose manifest was put back."""
    for one in doomed:
        for stored in one.objects:
            if stored.key.startswith("versions/") or stored.key.endswith(f"/{MANIFEST_FILE}"):
                registry.delete(one.model, stored)
    used = _deployed()
    for model in {one.model for one in doomed}:
        used |= {digest: f"version {number}" for number, digest in registry.versions(model).items()}
        labels = (registry.label(model, label) for label in registry.labels(model))
        used |= {label.digest: "a label" for label in labels if label}
    spared = [one for one in doomed if one.entry.digest in used]
    gone = [one for one in doomed if one.entry.digest not in used]
    for one in spared:
        if one.entry.manifest:
            registry.restore_manifest(one.entry.manifest)
    for one in gone:
        for stored in one.objects:
            registry.delete(one.model, stored)
    return gone, spared


def _deployed() -> dict[str, str]:
    """Digests that functions of this account and region name, in any of their versions, and which do.

    Raises:
        CommandError: the variables of a function of ours cannot be decrypted.
    """
    pages = aws.client("lambda").get_paginator("list_functions").paginate(FunctionVersion="ALL")
    digests: dict[str, str] = {}
    for function in (function for page in pages for function in page["Functions"]):
        name, environment = function["FunctionName"], function.get("Environment", {})
        described = _IN_DESCRIPTION.search(function.get("Description", ""))  # of a published version
        if "Error" in environment and function.get("Description", "").startswith("coldpress:"):
            raise CommandError(
                f"the variables of function {name} cannot be read, so what it serves is not known: prune "
                "with the right to decrypt by the stage's key (kms:Decrypt)."
            )
        for digest in (environment.get("Variables", {}).get("COLDPRESS_DIGEST"), described and described[1]):
            if digest:
                digests[digest] = f"function {name}"
    return digests


def _pinned(config: Path, models: Iterable[Model]) -> dict[str, str]:
    """Digests that the stages of cdk.json name themselves or by version, and which stage does.

    Raises:
        CommandError: the file is not there, or its stages are none.
    """
    digests = {
        (model.name, number): entry.digest
        for model in models
        for entry in model.entries
        for number in entry.versions
    }
    pins: dict[str, str] = {}
    try:
        context = json.loads(config.read_text(encoding="utf-8")).get("context", {})
        for stage, content in context.get("coldpress", {}).items():
            for name, told in _models_of(content):
                shadow = told.get("shadow") or {}
                numbers = [told.get("version"), shadow.get("version"), *told.get("versions", [])]
                numbers += told.get("labels", {}).values()
                named = [told.get("digest"), shadow.get("digest")]
                named += [digests.get((name, number)) for number in numbers]
                pins |= {digest: f"{config.name}, stage {stage}" for digest in named if digest}
    except FileNotFoundError:
        raise CommandError(
            f"{config} does not exist, so what it pins is not known: run this where cdk.json is, or name it "
            "with --config."
        ) from None
    except (ValueError, AttributeError, TypeError) as error:
        raise CommandError(f"{config}: what it pins cannot be read ({error}): mend it first.") from None
    return pins


def _models_of(stage: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The models of a stage by name: its one, or its several."""
    if "model" in stage:
        yield stage["model"].get("name", ""), stage["model"]
    yield from stage.get("models", {}).items()


def _lines(
    bucket: str,
    doomed: list[Doomed],
    kept: list[Kept],
    spared: list[Doomed],
    *,
    deleted: bool,
) -> Iterator[str]:
    for one in kept:
        yield f"keep    {_called(one.model, one.entry)}: {one.why}"
    for bundle in doomed:
        called = _called(bundle.model, bundle.entry)
        if bundle in spared:
            yield f"keep    {called}: {_MEANWHILE}"
        else:
            yield f"{'deleted' if deleted else 'delete '} {called}: {size(bundle.size)}"
    total = size(sum(bundle.size for bundle in doomed if bundle not in spared))
    if not doomed:
        yield f"nothing to delete in s3://{bucket}"
    elif deleted:
        yield (
            f"{total} deleted in s3://{bucket}. In a versioned bucket, as coldpress-registry's is, that is "
            "hidden, still paid for, and can be brought back (docs/registry.md)."
        )
    else:
        yield (
            f"{total} in s3://{bucket} would go. Nothing was changed: add --yes. Functions of other accounts "
            "and regions are not looked at."
        )


def _called(name: str, entry: Entry) -> str:
    versions = ",".join(map(str, entry.versions))
    return f"{name} {f'version {versions}' if versions else 'without a version'} ({entry.digest[:12]})"


def _as_json(
    doomed: list[Doomed],
    kept: list[Kept],
    gone: list[Doomed],
    spared: list[Doomed],
    *,
    deleted: bool,
) -> dict[str, Any]:
    def told(one: Doomed | Kept) -> dict[str, Any]:
        return {"model": one.model, "digest": one.entry.digest, "versions": one.entry.versions}

    return {
        "deleted": [{**told(one), "size_bytes": one.size} for one in gone],
        "would_delete": [] if deleted else [{**told(one), "size_bytes": one.size} for one in doomed],
        "kept": [{**told(one), "why": one.why} for one in kept]
        + [{**told(one), "why": _MEANWHILE} for one in spared],
    }


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no whole number above 0")
    return int(text)
