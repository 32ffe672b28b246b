"""All models with their bundles: of a registry, or of a folder that `optimize` wrote into."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from bundle.errors import BundleError, NotFound
from bundle.folder import read
from bundle.layout import MANIFEST_FILE, is_name, is_sha256
from bundle.manifest import Manifest
from bundle.registry import Registry, Stored
from coldpress.errors import CommandError

_CALLS_AT_ONCE = 8


class Entry(NamedTuple):
    """A bundle, and what names it.

    ``versions``: its numbers, oldest first; ``written``: when its manifest was; ``size``: bytes of its files
    that are there; ``manifest``: None where it cannot be read, and then ``problem`` says why;
    ``has_original``: whether the model that it was pressed of is beside it; ``pressed_of``: the digest of the
    bundle whose pressed model that was, else empty.
    """

    digest: str
    versions: list[int]
    labels: list[str]
    written: datetime | None
    size: int
    manifest: Manifest | None
    problem: str
    has_original: bool
    pressed_of: str = ""


class Model(NamedTuple):
    """A model's bundles, the newest version first and those without a version last."""

    name: str
    entries: list[Entry]


def from_registry(registry: Registry, names: list[str] | None = None) -> list[Model]:
    """The models of those names, all by default.

    Raises:
        NotFound: there is no model of a name.
        RegistryError: S3 refuses or cannot be reached.
    """
    with ThreadPoolExecutor(_CALLS_AT_ONCE) as pool:
        return [_model(registry, name, pool) for name in (registry.names() if names is None else names)]


def from_folder(folder: Path, names: list[str] | None = None) -> list[Model]:
    """The same of ``<folder>/<name>/<digest>/``; nothing there has a version or a label.

    Raises:
        CommandError: there is no bundle.
    """
    found: dict[str, list[Entry]] = {}
    for path in sorted(folder.glob(f"*/*/{MANIFEST_FILE}")):
        name, digest = path.parts[-3:-1]
        if is_name(name) and is_sha256(digest) and (names is None or name in names):
            found.setdefault(name, []).append(_of_folder(path))
    if not found:
        what = "bundle" if names is None else f"bundle of {', '.join(names)}"
        raise CommandError(f"{folder} holds no {what}: name the folder that `optimize -o` was given.")
    return [Model(name, _in_order(entries)) for name, entries in found.items()]


def to_builtins(models: list[Model]) -> list[dict[str, Any]]:
    """As JSON takes them."""
    return [
        {
            "name": model.name,
            "bundles": [
                {
                    "digest": entry.digest,
                    "versions": entry.versions,
                    "labels": entry.labels,
                    "written": entry.written.isoformat() if entry.written else None,
                    "size_bytes": entry.size,
                    "has_original": entry.has_original,
                    "pressed_of": entry.pressed_of or None,
                    "problem": entry.problem or None,
                    "manifest": msgspec.to_builtins(entry.manifest),
                }
                for entry in model.entries
            ],
        }
        for model in models
    ]


def _model(registry: Registry, name: str, pool: ThreadPoolExecutor) -> Model:
    stored = registry.stored(name)
    if not stored:
        raise NotFound(f"bucket '{registry.bucket}' has no model '{name}': it has {_known(registry)}.")
    versions = registry.versions(name)
    labels = {
        label: at.digest for label in registry.labels(name) if (at := registry.label(name, label)) is not None
    }
    digests = {
        *versions.values(),
        *labels.values(),
        *(first for one in stored if is_sha256(first := one.key.partition("/")[0])),
    }
    found = pool.map(lambda digest: _entry(registry, name, digest, stored), sorted(digests))
    entries = [
        entry._replace(
            versions=[number for number, at in versions.items() if at == entry.digest],
            labels=sorted(label for label, at in labels.items() if at == entry.digest),
        )
        for entry in found
    ]
    return Model(name, _in_order(entries))


def _entry(registry: Registry, name: str, digest: str, stored: list[Stored]) -> Entry:
    manifest, problem = None, ""
    try:
        manifest = registry.manifest(name, digest)
    except NotFound:
        problem = "the registry holds no manifest of it: its push did not end, or it was deleted."
    except BundleError as error:
        problem = str(error)
    files = [one for one in stored if one.key.startswith(f"{digest}/")]
    original = f"originals/{manifest.source.sha256}" if manifest else ""
    return Entry(
        digest=digest,
        versions=[],
        labels=[],
        written=next((one.modified for one in files if one.key.endswith(MANIFEST_FILE)), None),
        size=sum(one.size for one in files),
        manifest=manifest,
        problem=problem,
        has_original=any(one.key == original for one in stored),
    )


def _of_folder(path: Path) -> Entry:
    manifest, problem = None, ""
    try:
        manifest = read(path.parent)
    except BundleError as error:
        problem = str(error)
    return Entry(
        digest=path.parent.name,
        versions=[],
        labels=[],
        written=datetime.fromtimestamp(path.stat().st_mtime, UTC),
        size=sum(file.stat().st_size for file in path.parent.iterdir()),
        manifest=manifest,
        problem=problem,
        has_original=False,
    )


def _in_order(entries: list[Entry]) -> list[Entry]:
    """Sorted, and each with the bundle that it was pressed of, where it is one of them."""
    pressed = {
        model.sha256: entry.digest
        for entry in entries
        if entry.manifest and (model := entry.manifest.files.get("model.onnx"))
        if model.sha256 != entry.manifest.source.sha256
    }
    linked = [
        entry._replace(pressed_of=pressed.get(entry.manifest.source.sha256, "") if entry.manifest else "")
        for entry in entries
    ]
    return sorted(linked, key=_age)


def _age(entry: Entry) -> tuple[int, float, str]:
    """The newest version first; among those without, the one that was written last."""
    written = entry.written.timestamp() if entry.written else 0.0
    return (-max(entry.versions, default=0), -written, entry.digest)


def _known(registry: Registry) -> str:
    return ", ".join(registry.names()) or "none"
