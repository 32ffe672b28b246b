"""The image's asset: what changes it, and what does not. Tried on a copy of the tree."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_IGNORED = shutil.ignore_patterns("__pycache__", "node_modules")
_PROGRAM = """
import sys
from aws_cdk import App, Stack
from aws_cdk import aws_s3 as s3
from infra import EndpointConfig, Model, ModelEndpoint
stack = Stack(App(outdir=sys.argv[1], auto_synth=False), "Shop")
bucket = s3.Bucket.from_bucket_name(stack, "Models", "shop-models")
ModelEndpoint(stack, "Ocr", bucket=bucket, config=EndpointConfig(model=Model(name="ocr", digest="ab" * 32)))
stack.node.root.synth()
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    for folder in ("bundle", "handlers", "infra", "monitoring", "optimizer"):
        shutil.copytree(ROOT / folder, root / folder, ignore=_IGNORED)
    for name in ("cdk.json", "pyproject.toml", ".dockerignore"):
        shutil.copy(ROOT / name, root)
    return root


@pytest.fixture
def image_of(tmp_path: Path) -> Callable[[Path], tuple[str, set[str]]]:
    """Synthesise the tree in its own process: the image's hash, and the files that it is built from."""

    def run(tree: Path) -> tuple[str, set[str]]:
        outdir = tmp_path / "out"
        shutil.rmtree(outdir, ignore_errors=True)
        subprocess.run(
            [sys.executable, "-c", _PROGRAM, str(outdir)],
            check=True,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"},
        )
        (digest,) = json.loads((outdir / "Shop.assets.json").read_text())["dockerImages"]
        asset = outdir / f"asset.{digest}"
        return digest, {str(path.relative_to(asset)) for path in asset.rglob("*") if path.is_file()}

    return run


def test_only_what_is_in_the_image_changes_it(
    tree: Path, image_of: Callable[[Path], tuple[str, set[str]]]
) -> None:
    digest, files = image_of(tree)
    assert {name.split("/")[0] for name in files} == {".dockerignore", "bundle", "handlers", "monitoring"}
    assert {"handlers/inference/Dockerfile", "handlers/inference/app.py", "bundle/manifest.py"} <= files

    with (tree / "infra" / "endpoint.py").open("a") as file:
        file.write("# an edit elsewhere\n")
    (tree / "cdk.json").write_text("{}")
    (tree / "secrets.env").write_text("nothing that belongs into an image")
    (tree / "bundle" / "__pycache__").mkdir()
    (tree / "bundle" / "__pycache__" / "manifest.cpython-311.pyc").write_bytes(b"compiled")
    assert image_of(tree) == (digest, files)

    with (tree / "bundle" / "manifest.py").open("a") as file:
        file.write("# an edit of what the handler imports\n")
    assert image_of(tree)[0] != digest
