"""Virtual environments under build/bench/venvs, one for each tool, made when first needed and kept."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks import functions, monitors, servers, tools

ROOT = Path(__file__).parents[1]
BENCH = ROOT / "build" / "bench"
_PACKAGES = {**tools.PACKAGES, **functions.PACKAGES, **servers.PACKAGES, **monitors.PACKAGES}


def python_of(environment: str) -> Path:
    """The interpreter of an environment, made if it is not there or its packages changed.

    ``project`` is the one that runs this; ``minilm`` the one that examples/minilm/export.sh makes.

    Raises:
        subprocess.CalledProcessError: the packages cannot be installed.
    """
    if environment == "project":
        return Path(sys.executable)
    if environment == "minilm":
        if not (ROOT / "build" / "minilm" / "evaluation").exists():
            subprocess.run(["examples/minilm/export.sh"], check=True, cwd=ROOT)
        return ROOT / "build" / "minilm" / "venv" / "bin" / "python"
    return made(BENCH / "venvs" / environment, _PACKAGES[environment])


def made(folder: Path, packages: tuple[str, ...]) -> Path:
    """The interpreter of the environment in ``folder``, made if it is not there or has other packages.

    Raises:
        subprocess.CalledProcessError: the packages cannot be installed.
    """
    python, ready = folder / "bin" / "python", folder / "ready"
    key = hashlib.sha256("\n".join(packages).encode()).hexdigest()
    if not ready.exists() or ready.read_text() != key:
        print(f"making the environment {folder.name}: {' '.join(packages)}", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
        install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
        subprocess.run(["nice", *install, "--disable-pip-version-check", *packages], check=True)
        ready.write_text(key)
    return python
