"""Fuzz for a while: python -m tests.fuzz.run requests|ort|native [SECONDS].

atheris is no dependency of this project: it has an environment of its own, build/clients/atheris, with this
project's packages in the versions that are installed here.
"""

import os
import subprocess
import sys
from importlib.metadata import version

from benchmarks import environments

ATHERIS = "atheris==3.0.0"
SHARED = ("hypothesis", "msgspec", "numpy", "onnx", "onnxruntime", "pybase64", "pysimdjson")


def main() -> int:
    """Run one harness; its exit status."""
    name, *rest = sys.argv[1:]
    packages = (ATHERIS, *(f"{package}=={version(package)}" for package in SHARED))
    python = environments.made(environments.ROOT / "build" / "clients" / "atheris", packages)
    command = [str(python), "-m", f"tests.fuzz.{name}", *rest]
    return subprocess.run(command, check=False, cwd=environments.ROOT, env=os.environ).returncode


if __name__ == "__main__":
    sys.exit(main())
