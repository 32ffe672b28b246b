"""Which of ten packages is a docstring from? Paragraphs of real English with labels, on every machine.

Usage: data.py SITE_PACKAGES TOKENIZER_JSON FOLDER

Writes FOLDER/training and FOLDER/evaluation, one ``.npz`` a paragraph, and FOLDER/labels.txt. No module and
no text is in both.
"""

import ast
import hashlib
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

PACKAGES = {
    "hypothesis": "hypothesis",
    "moto": "moto",
    "mypy": "mypy",
    "networkx": "networkx",
    "numpy": "numpy|np",
    "pydantic": "pydantic",
    "_pytest": "pytest|py\\.test",
    "setuptools": "setuptools",
    "sympy": "sympy",
    "torch": "torch|pytorch",
}
"""The folder of each, and what in a text would give it away."""

MOST = 3000  # paragraphs of a package
FEWEST_WORDS, LONGEST = 8, 128  # words, tokens
EVALUATION = 0.3  # of the modules


@dataclass(frozen=True)
class Example:
    """A paragraph; ``label``: the number of its package."""

    label: int
    module: str
    text: str


def paragraphs(folder: Path) -> Iterator[tuple[str, str]]:
    """(module, paragraph) of docstrings that read like prose."""
    for path in sorted(folder.rglob("*.py")):
        if "_vendor" in path.parts:  # other packages
            continue
        try:
            tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError):  # a test of what is no Python
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module):
                for paragraph in (ast.get_docstring(node) or "").split("\n\n"):
                    text = " ".join(paragraph.split())
                    if re.match(r"^[A-Z][a-z]+ .*\.$", text) and ">>>" not in text:
                        yield str(path.relative_to(folder.parent)), text


def anonymous(text: str) -> str:
    """Without the names of all ten packages, whole words and parts of words."""
    names = "|".join(PACKAGES.values())
    return " ".join(re.sub(rf"(?i)\b(?:{names})\b|{names.replace('|np', '')}", " ", text).split())


def examples(site_packages: Path) -> list[Example]:
    """At most ``MOST`` of a package, in an order by chance; a text that two modules have is left out."""
    by_words: dict[str, Example | None] = {}
    for label, package in enumerate(PACKAGES):
        if not (site_packages / package).is_dir():
            raise SystemExit(f"{site_packages} has no {package}: run make setup and make setup-train.")
        for module, paragraph in paragraphs(site_packages / package):
            example = Example(label, module, anonymous(paragraph))
            words = re.sub(r"\W+", " ", example.text.lower())
            if len(words.split()) >= FEWEST_WORDS:
                known = by_words.setdefault(words, example)
                if known is not None and known.module != module:
                    by_words[words] = None
    found = sorted((one for one in by_words.values() if one), key=lambda one: _chance(one.text))
    return [
        one
        for label in range(len(PACKAGES))
        for one in [each for each in found if each.label == label][:MOST]
    ]


def _chance(text: str) -> float:
    """From 0 to 1, the same for the same text."""
    return int(hashlib.sha256(text.encode()).hexdigest()[:12], 16) / 16**12


def main(site_packages: str, tokenizer_json: str, out: str) -> None:
    """Write both sets, in an order by chance."""
    from tokenizers import Tokenizer  # noqa: PLC0415 - in MiniLM's virtual environment only

    tokenizer = Tokenizer.from_file(tokenizer_json)
    tokenizer.enable_truncation(LONGEST)
    tokenizer.no_padding()
    found = sorted(examples(Path(site_packages)), key=lambda one: _chance(one.text))
    evaluation = [one for one in found if _chance(one.module) < EVALUATION]
    training = [one for one in found if _chance(one.module) >= EVALUATION]
    for name, part in (("training", training), ("evaluation", evaluation)):
        folder = Path(out, name)
        folder.mkdir(parents=True, exist_ok=True)
        for number, example in enumerate(part):
            encoding = tokenizer.encode(example.text)
            np.savez(
                folder / f"{number:05}.npz",
                input_ids=np.array([encoding.ids]),
                attention_mask=np.array([encoding.attention_mask]),
                labels=np.array([example.label]),
            )
        print(f"{name}: {len(part)} paragraphs in {folder}")
    Path(out, "labels.txt").write_text("\n".join(PACKAGES).replace("_pytest", "pytest") + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
