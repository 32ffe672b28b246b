"""Training needs torch, which `make setup-train` adds, not `make setup`: without it nothing here runs."""

import importlib.util

if importlib.util.find_spec("torch"):
    import torch

    torch.set_num_threads(1)  # several tests run at once, and threads that wait for each other cost most
    collect_ignore_glob = []
else:
    collect_ignore_glob = ["test_*.py", "students/test_*.py"]
