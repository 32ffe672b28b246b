"""Examples of recommendation and language: no alarm over their own data, one after a change."""

import subprocess
import sys

import pytest

from examples.deployment import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2700)]


def run(module: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", module], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_films_by_the_numbers_of_another_catalogue_are_noticed():
    pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    if not (ROOT / "build" / "recommendation" / "weights.pt").exists():
        run("examples.recommendation.train")
    said = run("examples.recommendation.demo")
    assert "Yes: 401 requests" in said
    assert "No: history[" in said


def test_sentences_are_compared_and_source_code_is_noticed():
    for needed in ("transformers", "onnxscript", "tokenizers"):
        pytest.importorskip(needed)
    said = run("examples.huggingface.demo")
    assert "cat and kitten" in said
    before, after = said.split("400 requests of code")
    assert "Yes: 403 requests" in before
    assert "No: " in after
