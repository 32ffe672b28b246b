"""Each harness for some seconds, so that it is known to run; a change to its subject needs half an hour."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("harness", ["native", "ort", "requests"])
def test_nothing_is_found_in_ten_seconds(harness: str) -> None:
    command = [sys.executable, "-m", "tests.fuzz.run", harness, "10"]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, errors="replace", cwd=Path(__file__).parents[2]
    )
    assert done.returncode == 0, done.stderr[-4000:]
