"""Sentences as token ids of all-MiniLM-L6-v2.

Usage: python -m benchmarks.monitors.texts FOLDER (in the environment ``minilm``)
"""

import json
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "examples" / "minilm"))
LONGEST = 64


def main(folder: Path) -> None:
    """Write ``tokens.npz``: of each language, ids filled up with 0, and lengths."""
    from export import package_folder  # noqa: PLC0415 - after the path is set
    from transformers import AutoTokenizer  # noqa: PLC0415 - only this environment has it

    tokenizer = AutoTokenizer.from_pretrained(package_folder())
    found = {}
    for language, sentences in json.loads((folder / "sentences.json").read_text()).items():
        ids = np.zeros((len(sentences), LONGEST), np.int64)
        lengths = np.zeros(len(sentences), np.int64)
        for index, sentence in enumerate(sentences):
            tokens = tokenizer(sentence, truncation=True, max_length=LONGEST)["input_ids"]
            ids[index, : len(tokens)], lengths[index] = tokens, len(tokens)
        found |= {f"{language}_ids": ids, f"{language}_lengths": lengths}
    np.savez(folder / "tokens.npz", **found)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
