"""Sentences of docstrings as calibration and evaluation data, one ``.npz`` each.

Usage: data.py FOLDER [COUNT] (writes FOLDER/calibration and FOLDER/evaluation)

Of Python's own docstrings: 64 for calibration and 400 for evaluation. COUNT, some thousands, is for training:
so many more for calibration, of the packages installed beside; none of their sentences is evaluated on.
"""

import ast
import itertools
import random
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from export import package_folder
from transformers import AutoTokenizer

CALIBRATION, EVALUATION = 64, 400
SHORTEST, LONGEST = 5, 128  # tokens


def docstrings() -> Iterator[str]:
    """Paragraphs of the standard library's docstrings that read like prose."""
    return _paragraphs(sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")))


def more_docstrings() -> Iterator[str]:
    """The same of all packages that are installed here."""
    return _paragraphs(sorted(Path(sysconfig.get_path("purelib")).rglob("*.py")))


def _paragraphs(paths: Iterable[Path]) -> Iterator[str]:
    for path in paths:
        try:
            tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError):  # templates, and tests of parsers
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
                for paragraph in (ast.get_docstring(node) or "").split("\n\n"):
                    text = " ".join(paragraph.split())
                    if re.match(r"^[A-Z][a-z]+ .*\.$", text):
                        yield text


def main(folder: str, count: int = 0) -> None:
    """Write both sets; no sentence is in both."""
    tokenizer = AutoTokenizer.from_pretrained(package_folder())
    own = set(docstrings())
    encoded = _encoded(tokenizer, own)
    calibration = list(itertools.islice(encoded, CALIBRATION))
    _write(Path(folder, "evaluation"), list(itertools.islice(encoded, EVALUATION)))
    more = _encoded(tokenizer, set(more_docstrings()) - own) if count else iter(())
    _write(Path(folder, "calibration"), [*calibration, *itertools.islice(more, count)])


def _encoded(tokenizer: Any, sentences: set[str]) -> Iterator[dict[str, list[int]]]:
    """In an order by chance, without the short ones."""
    mixed = sorted(sentences)
    random.Random(0).shuffle(mixed)
    samples = (tokenizer(text, truncation=True, max_length=LONGEST) for text in mixed)
    return (sample for sample in samples if len(sample["input_ids"]) >= SHORTEST)


def _write(target: Path, samples: list[dict[str, list[int]]]) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for index, sample in enumerate(samples):
        arrays = {key: np.array([sample[key]], np.int64) for key in ("input_ids", "attention_mask")}
        np.savez(target / f"{index:04}.npz", **arrays)
    print(f"{target.name}: {len(samples)} sentences in {target}")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
