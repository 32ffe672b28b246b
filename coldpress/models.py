"""``coldpress models``: what the registry holds, where each bundle came from, and which may go."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from bundle.manifest import Manifest
from coldpress import aws, models_page, retention
from coldpress.cache import open_registry
from coldpress.catalog import Entry, Model, from_folder, from_registry, to_builtins
from coldpress.errors import CommandError
from coldpress.handles import parse_name
from coldpress.pin import add_config_argument
from optimizer.units import duration, size


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare what the subcommand takes."""
    _add_shared(parser)
    actions = parser.add_subparsers(dest="what", metavar="list|show|prune")
    parser.set_defaults(what="list", model=None)
    _add_shared(actions.add_parser("list", help="all models (the default)"), again=True)
    show = actions.add_parser("show", help="one model: its bundles side by side, and where each came from")
    show.add_argument("model", metavar="NAME[:VERSION|@LABEL|@DIGEST]", help="all of its bundles, or one")
    _add_shared(show, again=True)
    prune = actions.add_parser("prune", help="old versions that nothing names: which, and with --yes they go")
    prune.add_argument("model", nargs="?", metavar="NAME", help="of this model only (default: of all)")
    retention.add_arguments(prune)
    add_config_argument(prune)
    _add_shared(prune, again=True)


def run(options: argparse.Namespace) -> int:
    """Print it."""
    if options.what == "prune":
        return int(retention.run(options))
    models, where = _models(options)
    if options.html is not None:
        options.html.write_text(models_page.render(models, where), encoding="utf-8")
        sys.stdout.write(f"{options.html}\n")
    elif options.json:
        sys.stdout.write(json.dumps(to_builtins(models)) + "\n")
    else:
        lines = _list(models) if options.what == "list" else _show(models[0])
        sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 0


def _add_shared(parser: argparse.ArgumentParser, *, again: bool = False) -> None:
    """Options that may stand before or after the action; there they must not undo what stood before."""

    def default(value: object) -> object:
        return argparse.SUPPRESS if again else value

    parser.add_argument(
        "--bucket",
        default=default(None),
        help="the registry's bucket (default: the variable COLDPRESS_BUCKET, else what stack "
        f"{aws.REGISTRY_STACK} says)",
    )
    parser.add_argument(
        "--folder",
        type=Path,
        default=default(None),
        help="look into this folder, that `optimize -o` was given, and not into the registry",
    )
    parser.add_argument(
        "--html", type=Path, metavar="FILE", default=default(None), help="write a page of it into this file"
    )
    parser.add_argument(
        "--json", action="store_true", default=default(False), help="print JSON instead of a table"
    )


def _models(options: argparse.Namespace) -> tuple[list[Model], str]:
    """What was asked for, and where it is."""
    handle = parse_name(options.model) if options.model else None
    names = [handle.name] if handle else None
    if options.folder is not None:
        models, where = from_folder(options.folder, names), str(options.folder)
    else:
        registry = open_registry((handle and handle.bucket) or options.bucket)
        models, where = from_registry(registry, names), f"s3://{registry.bucket}"
    if handle is None or handle.reference is None:
        return models, where
    (model,) = models
    chosen = [entry for entry in model.entries if _is_named(entry, handle.reference)]
    if not chosen:
        raise CommandError(f"{model.name} has no version, label or digest '{handle.reference}'.")
    return [Model(model.name, chosen)], where


def _is_named(entry: Entry, reference: str) -> bool:
    return reference in (entry.digest, *map(str, entry.versions), *entry.labels)


def _list(models: Sequence[Model]) -> Iterator[str]:
    if not models:
        yield "no models: push a bundle with `coldpress push`"
        return
    rows = [("MODEL", "BUNDLES", "NEWEST", "LABELS", "METRIC", "LATENCY", "SIZE", "WRITTEN")]
    for model in models:
        newest, *_ = model.entries
        labels = [f"{label}={_number(entry)}" for entry in model.entries for label in entry.labels]
        rows.append(
            (
                model.name,
                str(len(model.entries)),
                _number(newest),
                " ".join(labels) or "-",
                *_figures(newest.manifest),
                f"{newest.written:%Y-%m-%d}" if newest.written else "-",
            )
        )
    yield from _aligned(rows)
    yield from _problems(models)


def _show(model: Model) -> Iterator[str]:
    rows = [("VERSION", "LABELS", "DIGEST", "TARGET", "METRIC", "LATENCY", "SIZE", "COLD START", "WRITTEN")]
    for entry in model.entries:
        manifest = entry.manifest
        rows.append(
            (
                _number(entry),
                " ".join(entry.labels) or "-",
                entry.digest[:12],
                manifest.target if manifest else "?",
                *_figures(manifest),
                _cold_start(manifest),
                f"{entry.written:%Y-%m-%d %H:%M}" if entry.written else "-",
            )
        )
    yield model.name
    yield from (f"  {line}" for line in _aligned(rows))
    for entry in model.entries:
        if entry.manifest:
            yield ""
            yield from _lineage(entry, entry.manifest)
    yield from _problems([model])


def _lineage(entry: Entry, manifest: Manifest) -> Iterator[str]:
    """From the trained model to the bundle, as far as the manifest says."""
    source, metric = manifest.source, manifest.metric
    beside = "in the registry" if entry.has_original else "not in the registry"
    if entry.pressed_of:
        beside = f"the pressed model of {entry.pressed_of[:12]}"
    yield f"  {source.file}, {size(source.size)}, opset {source.opset}, sha256 {source.sha256} ({beside})"
    for step in manifest.passes:
        told = ", ".join(f"{key} {value}" for key, value in step.parameters.items())
        yield f"    {step.name}{f': {told}' if told else ''}"
    if not manifest.passes:
        yield "    as it was"
    low, high = metric.interval
    yield (
        f"    {metric.name} {metric.before:.4f} -> {metric.after:.4f}: drop {metric.drop:.4f} [{low:.4f}, "
        f"{high:.4f}] of {metric.bound:g} allowed, {metric.samples} unseen samples"
    )
    tools = ", ".join(f"{tool} {version}" for tool, version in manifest.tools.items())
    yield f"    by {tools or 'unknown tools'}"
    yield f"  -> {_name(entry)}, {manifest.serve} for {manifest.target}, digest {entry.digest}"


def _name(entry: Entry) -> str:
    """What people call a bundle."""
    version = f"version {_number(entry)}" if entry.versions else "a bundle without a version"
    return f"{version} ({', '.join(entry.labels)})" if entry.labels else version


def _number(entry: Entry) -> str:
    return ",".join(map(str, entry.versions)) or "-"


def _figures(manifest: Manifest | None) -> tuple[str, str, str]:
    """Metric, latency and size, before and after."""
    if manifest is None:
        return "?", "?", "?"
    before, after, metric = manifest.before, manifest.after, manifest.metric
    return (
        f"{metric.name} {metric.before:.4f} -> {metric.after:.4f}",
        f"{duration(before.latency_ms)} -> {duration(after.latency_ms)}",
        f"{size(before.size_bytes)} -> {size(after.size_bytes)}",
    )


def _cold_start(manifest: Manifest | None) -> str:
    if manifest is None:
        return "?"
    return f"{duration(manifest.before.cold_start_ms)} -> {duration(manifest.after.cold_start_ms)}"


def _problems(models: Sequence[Model]) -> Iterator[str]:
    for model in models:
        for entry in model.entries:
            if entry.problem:
                yield f"{model.name} {entry.digest[:12]} ({_name(entry)}): {entry.problem}"


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
