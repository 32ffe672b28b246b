"""Sentences of Python's own docstrings as calibration and evaluation data, one ``.npz`` each.

Usage: data.py FOLDER (writes FOLDER/calibration and FOLDER/evaluation)
"""

import ast
import random
import re
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from export import package_folder
from transformers import AutoTokenizer

CALIBRATION, EVALUATION = 64, 400
SHORTEST, LONGEST = 5, 128  # tokens


def docstrings() -> Iterator[str]:
    """Paragraphs of the standard library's docstrings that read like prose."""
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
                for paragraph in (ast.get_docstring(node) or "").split("\n\n"):
                    text = " ".join(paragraph.split())
                    if re.match(r"^[A-Z][a-z]+ .*\.$", text):
                        yield text


def main(folder: str) -> None:
    """Write both sets; no sentence is in both."""
    sentences = sorted(set(docstrings()))
    random.Random(0).shuffle(sentences)
    tokenizer = AutoTokenizer.from_pretrained(package_folder())
    encoded = [tokenizer(text, truncation=True, max_length=LONGEST) for text in sentences]
    encoded = [sample for sample in encoded if len(sample["input_ids"]) >= SHORTEST]
    for name, part in (
        ("calibration", encoded[:CALIBRATION]),
        ("evaluation", encoded[CALIBRATION : CALIBRATION + EVALUATION]),
    ):
        target = Path(folder, name)
        target.mkdir(parents=True, exist_ok=True)
        for index, sample in enumerate(part):
            arrays = {key: np.array([sample[key]], np.int64) for key in ("input_ids", "attention_mask")}
            np.savez(target / f"{index:04}.npz", **arrays)
        print(f"{name}: {len(part)} sentences in {target}")


if __name__ == "__main__":
    main(sys.argv[1])
