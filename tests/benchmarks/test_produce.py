"""Running a tool: its error, its time limit."""

import sys

from benchmarks.produce import run_tool


def test_what_ends_well_has_no_error(tmp_path):
    assert run_tool([sys.executable, "-c", "print('done')"], tmp_path / "log", 30)[0] == ""


def test_the_error_is_the_exception(tmp_path):
    script = "import atexit; atexit.register(print, 'bye'); raise ValueError('odd shape')"
    assert run_tool([sys.executable, "-c", script], tmp_path / "log", 30)[0] == "ValueError: odd shape"


def test_a_long_error_is_shortened(tmp_path):
    error = run_tool([sys.executable, "-c", "raise ValueError('x' * 999)"], tmp_path / "log", 30)[0]
    assert len(error) == 200
    assert error.endswith("x…")


def test_the_time_is_limited(tmp_path):
    error, seconds = run_tool([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path / "log", 0.5)
    assert error == "not finished after 0.5 s"
    assert seconds < 20
