"""The image's /var/task as a folder: what handlers/inference/Dockerfile makes, without a container."""

import compileall
import py_compile
import shutil
import sysconfig
from pathlib import Path

from benchmarks.environments import BENCH, ROOT

# What the Dockerfile keeps of requirements.lock.
_PACKAGES = (
    "awslambdaric",
    "onnxruntime/capi/libonnxruntime.so.*",
    "pybase64",
    "runtime_client*.so",
    "simplejson",
    "snapshot_restore_py.py",
)


def image_folder() -> Path:
    """Made anew, from this environment's packages and the working tree; bytecode compiled."""
    target = BENCH / "task"
    shutil.rmtree(target, ignore_errors=True)
    site_packages = Path(sysconfig.get_path("platlib"))
    for pattern in _PACKAGES:
        for path in site_packages.glob(pattern):
            _copy(path, target / path.relative_to(site_packages))
    for name in ("bundle", "handlers/__init__.py", "handlers/inference"):
        _copy(ROOT / name, target / name)
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    compileall.compile_dir(target, quiet=2, force=True, invalidation_mode=mode)
    return target


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)
