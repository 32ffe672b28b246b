"""No test reads or writes what the user's own searches measured, and Ctrl-C reaches what tests start."""

import os
import shutil
import signal
import tempfile

import pytest

# For what is pressed once for several tests; each test has a cache of its own beside it.
_CACHE = tempfile.mkdtemp(prefix="coldpress-tests-")
os.environ["XDG_CACHE_HOME"] = _CACHE
# A shell starts what runs in its background with SIGINT ignored, tests and all that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_unconfigure() -> None:
    shutil.rmtree(_CACHE, ignore_errors=True)


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
