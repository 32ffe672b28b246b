"""The model that `optimize` presses: a file, or what a bundle in the registry was pressed of."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from bundle.folder import read
from bundle.layout import OPTIONAL_FILES
from coldpress.handles import parse


class Trained(NamedTuple):
    """A model to press.

    ``name`` and ``class_labels``: of the bundle that it is from, else None and none. ``note``: a sentence on
    which model of that bundle it is, else empty. ``is_pressed``: it is not the original. ``extras``: the
    optional files that the bundle has.
    """

    path: Path
    name: str | None = None
    class_labels: tuple[str, ...] = ()
    note: str = ""
    is_pressed: bool = False
    extras: Mapping[str, bytes] = MappingProxyType({})


def trained_model(text: str, bucket: str | None) -> Trained:
    """A file as it is; of a handle the original where it is beside the bundle, else the pressed model.

    Raises:
        CommandError: the handle is none, or the cache cannot be written.
        BundleError: the registry does not have it.
    """
    handle = parse(text)
    if handle is None:
        return Trained(Path(text))
    from coldpress.cache import pull, pull_original  # noqa: PLC0415 - boto3 takes a while, a file needs none

    pulled = pull(handle, bucket)
    manifest = read(pulled.folder)
    what, labels = f"{manifest.name} {manifest.digest[:12]}", tuple(manifest.class_labels)
    folder = pulled.folder
    extras = {name: (folder / name).read_bytes() for name in OPTIONAL_FILES if name in manifest.files}
    original = pull_original(handle, manifest, bucket)
    if original is not None:
        note = f"the original that {what} was pressed of"
        return Trained(original, manifest.name, labels, note, extras=extras)
    note = (
        f"the pressed model of {what}, because its original is not in the registry (`push --original` puts "
        "it there): the drop is measured against the pressed model, and comes on top of the one that it had"
    )
    return Trained(folder / "model.onnx", manifest.name, labels, note, is_pressed=True, extras=extras)
