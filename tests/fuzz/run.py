"""Fuzz for a while: python -m tests.fuzz.run requests|ort|native [SECONDS].

atheris is no dependency of this project: it has an environment of its own, build/clients/atheris, with this
project's packages in the versions that are installed here.
"""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from benchmarks import environments
from scripts import build_native

ATHERIS = "atheris==3.0.0"
SHARED = ("hypothesis", "msgspec", "numpy", "onnx", "onnxruntime", "pybase64")


def main() -> int:
    """Run one harness; its exit status."""
    name, *rest = sys.argv[1:]
    packages = (ATHERIS, *(f"{package}=={version(package)}" for package in SHARED))
    python = environments.made(environments.ROOT / "build" / "clients" / "atheris", packages)
    if name == "native":
        trapping(environments.ROOT / "build" / "fuzz" / "native.so")
    command = [str(python), "-m", f"tests.fuzz.{name}", *rest]
    return subprocess.run(command, check=False, cwd=environments.ROOT, env=os.environ).returncode


def trapping(library: Path) -> None:
    """Compile the native library so that what C leaves undefined ends the process."""
    library.parent.mkdir(parents=True, exist_ok=True)
    sources = [*build_native.SOURCES.glob("*.c"), build_native.BUILD / "powers_of_ten.c"]
    command = [sys.executable, "-m", "ziglang", "cc", "-std=c2x", "-O1", "-g", "-shared", "-fPIC"]
    command += ["-ffp-contract=off", "-fsanitize=undefined", "-fsanitize-trap=undefined"]
    command += ["-I", str(build_native.SOURCES), "-o", str(library), *map(str, sources)]
    caches = {f"ZIG_{kind}_CACHE_DIR": str(build_native.BUILD / "cache") for kind in ("GLOBAL", "LOCAL")}
    subprocess.run(command, check=True, env={**os.environ, **caches})


if __name__ == "__main__":
    sys.exit(main())
