"""No test reads or writes what the user's own searches measured."""

import os
import tempfile

import pytest

# For what is pressed once for several tests; each test has a cache of its own beside it.
os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="coldpress-tests-")


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
