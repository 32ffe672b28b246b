"""The bundles that are served: as `optimize` pressed a model, and of the model as it was."""

import sys
from pathlib import Path

import msgspec

from benchmarks.environments import BENCH
from benchmarks.models import Case, Model
from benchmarks.produce import by_optimize, prepare
from benchmarks.samples import Array, read_set
from bundle.folder import write
from bundle.layout import BUNDLE_FILES
from bundle.manifest import decode


def pressed(model: Model, case: Case) -> tuple[Path, dict[str, Array]]:
    """The bundle that `optimize` makes, and one sample; of cls a text line, [1, 3, 48, 192]."""
    folder = prepare(model)
    produced = by_optimize(model, case)
    if produced.error:
        sys.exit(f"{model.title}: optimize failed: {produced.error}")
    return Path(produced.model).parent, next(read_set(folder / "report"))


def unpressed(model: Model, bundle: Path) -> Path:
    """A bundle like ``bundle`` that serves the model as it was before pressing."""
    manifest = decode((bundle / "manifest.json").read_bytes())
    files: dict[str, Path | bytes] = {name: bundle / name for name in BUNDLE_FILES}
    files["model.onnx"] = prepare(model) / "model.onnx"
    return write(BENCH / "unpressed", msgspec.structs.replace(manifest, serve="model.onnx"), files)
