"""How a model of another framework meets the user: the command, and the ONNX file that it makes."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from bundle.folder import verify
from bundle.manifest import Manifest
from coldpress.optimize import main
from optimizer.runtime import serving_session


@dataclass
class Optimized:
    folder: Path
    manifest: Manifest
    original: Path

    def answers(self, **feeds: np.ndarray) -> dict[str, np.ndarray]:
        """Of the ONNX file before it was pressed."""
        session = serving_session(self.original)
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, feeds), strict=True))


@pytest.fixture
def optimize(tmp_path, capsys, monkeypatch):
    """Run the command on data that is both calibration and evaluation, and read the bundle."""
    monkeypatch.chdir(tmp_path)

    def call(model, data, *more):
        arguments = [model, "--calibration", data, "--evaluation", data, "--max-drop", "1"]
        status = main([*map(str, arguments), "-o", "out", "--time-budget", "0", "--json", *map(str, more)])
        captured = capsys.readouterr()
        assert status == 0, captured.err
        folder = Path(json.loads(captured.out)["bundle"])
        manifest = verify(folder)
        return Optimized(folder, manifest, Path("out/originals", manifest.source.file))

    return call


@pytest.fixture
def refused(tmp_path, capsys, monkeypatch):
    """The one sentence that the command says of wrong input; nothing is left of it."""
    monkeypatch.chdir(tmp_path)

    def call(model, data, *more):
        arguments = [model, "--calibration", data, "--evaluation", data, "--max-drop", "1", "-o", "out"]
        status = main([*map(str, arguments), *map(str, more)])
        captured = capsys.readouterr()
        assert (status, captured.out) == (2, "")
        assert captured.err.startswith("optimize: error: ")
        assert captured.err.count("\n") == 1
        assert not list(Path("out").rglob("*.*"))
        return captured.err.removeprefix("optimize: error: ").strip()

    return call
