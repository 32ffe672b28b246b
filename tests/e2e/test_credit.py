"""The example of default risk: right answers, no alarm before a unit changes, and one after."""

import subprocess
import sys

import pytest

from examples.deployment import ROOT

for needed in ("sklearn", "skl2onnx", "skops", "pandas"):
    pytest.importorskip(needed)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_example_answers_rightly_and_notices_a_change_of_unit():
    done = subprocess.run(
        [sys.executable, "-m", "examples.credit.demo"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "answers right: True, no alarm before: True, alarm after: True" in done.stdout
    assert "requests are kept, with bill, limit\n" in done.stdout  # and not what is personal
    moved = [line for line in done.stdout.splitlines() if line.strip().startswith("moved")]
    assert "limit: lower" in moved[0]
