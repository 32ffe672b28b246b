"""Training needs torch, which `make setup-train` adds, not `make setup`: without it nothing here runs."""

import importlib.util

collect_ignore_glob = [] if importlib.util.find_spec("torch") else ["test_*.py"]
