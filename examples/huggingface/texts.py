"""Texts to press a text model with: paragraphs of docstrings of Python's standard library, one a line.

Usage: texts.py FOLDER (writes FOLDER/calibration.txt and FOLDER/evaluation.txt)
"""

import ast
import random
import re
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

CALIBRATION, EVALUATION = 64, 400


def paragraphs() -> Iterator[str]:
    """Those that read like prose."""
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
                for paragraph in (ast.get_docstring(node) or "").split("\n\n"):
                    text = " ".join(paragraph.split())
                    if re.match(r"^[A-Z][a-z]+ .*\.$", text):
                        yield text


def all_texts() -> list[str]:
    """Each once, in an order by chance."""
    texts = sorted(set(paragraphs()))
    random.Random(0).shuffle(texts)
    return texts


def main(folder: str) -> None:
    """Write both files; no text is in both."""
    texts = all_texts()
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, part in (
        ("calibration", texts[:CALIBRATION]),
        ("evaluation", texts[CALIBRATION : CALIBRATION + EVALUATION]),
    ):
        Path(folder, f"{name}.txt").write_text("\n".join(part) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
