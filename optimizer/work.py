"""What was built and measured, so that a rerun goes on where the last one stopped."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

T = TypeVar("T")
_PARTIAL = ".partial-"


class Work:
    """A folder of built files, and one of measurements; each is written under a temporary name and renamed.

    Files are large, and built again when they are gone. Measurements are small, and no clock says twice the
    same: so they outlive the folder that a user names, and a search among near equals ends where it ended
    before (TensorRT's timing cache has the same reason).
    """

    def __init__(self, folder: Path, measurements: Path) -> None:
        """Make the folders, and remove what killed processes left half-written in them."""
        self.folder = folder
        self.measurements = measurements
        for place in (folder, measurements):
            place.mkdir(parents=True, exist_ok=True)
            for path in place.glob(f"{_PARTIAL}*"):
                if not Path("/proc", path.name.removeprefix(_PARTIAL).partition("-")[0]).exists():
                    path.unlink(missing_ok=True)

    def path(self, name: str) -> Path:
        """Where a file lies, or would."""
        return self.folder / name

    def write(self, name: str, data: bytes) -> Path:
        """Write a file whole or not at all."""
        return _write(self.folder, name, data)

    def file(self, name: str, make: Callable[[], bytes]) -> Path:
        """The file of that name, made now if it is not there."""
        path = self.path(name)
        return path if path.exists() else self.write(name, make())

    def load(self, name: str, kind: type[T]) -> T | None:
        """A measurement that ``save`` wrote, or None."""
        try:
            return msgspec.msgpack.decode((self.measurements / name).read_bytes(), type=kind)
        except (FileNotFoundError, msgspec.MsgspecError):
            return None

    def save(self, name: str, value: msgspec.Struct) -> None:
        """Keep a measurement."""
        _write(self.measurements, name, msgspec.msgpack.encode(value))


def default_measurements() -> Path:
    """Where caches belong (XDG Base Directory Specification)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "coldpress"


def _write(folder: Path, name: str, data: bytes) -> Path:
    partial = folder / f"{_PARTIAL}{os.getpid()}-{name}"
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        return partial.rename(folder / name)
    finally:
        partial.unlink(missing_ok=True)


def code_version() -> str:
    """sha256 over this package's source: what another version measured is not reused."""
    total = hashlib.sha256()
    folder = Path(__file__).parent
    for path in sorted(folder.rglob("*.py")):
        total.update(f"{path.relative_to(folder)}\0".encode() + path.read_bytes())
    return total.hexdigest()
