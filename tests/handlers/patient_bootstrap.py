"""The image's process, with time for what follows an answer: no busy machine decides what a test finds."""

import os
import runpy
import sys
from pathlib import Path

_REPOSITORY = Path(__file__).parents[2]
sys.path[:0] = [str(_REPOSITORY), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]

from handlers.inference import after  # noqa: E402 - its place is known only now

after.BUDGET_SECONDS = 60
runpy.run_path(str(_REPOSITORY / "handlers/inference/bootstrap.py"), run_name="__main__")
