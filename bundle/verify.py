"""``python3 -m bundle.verify FOLDER [DIGEST]``: is what a server reads of this bundle as it was written?

For a bundle that is copied into an image: run it when the image is built, because a function that starts does
not read all of its model only to hash it. A folder with no more than the manifest and the file that it serves
is enough. Exit status 0: yes, and it prints the digest; 1: one line says what is wrong.
"""

import sys
from pathlib import Path

from bundle.digests import measure
from bundle.errors import BundleError, DigestMismatch, InvalidBundle
from bundle.external_data import has_external_data
from bundle.files import manifest_bytes
from bundle.served import Manifest, read_manifest


def verify_served(folder: Path, digest: str | None = None) -> Manifest:
    """Check the manifest and every file of the bundle that is in ``folder``; the served one must be.

    Raises:
        InvalidBundle: something is wrong, or ``digest`` was asked for and this is another bundle.
    """
    manifest = read_manifest(manifest_bytes(folder), digest)
    for name in sorted(manifest.files):
        path, entry = folder / name, manifest.files[name]
        if name != manifest.serve and not path.exists():
            continue
        if not path.is_symlink() and not path.is_file():
            raise InvalidBundle(
                f"{folder} holds no {name}, which its manifest serves: copy the bundle again."
            )
        if measure(path) != (entry.sha256, entry.size):
            raise DigestMismatch(
                f"{path} is not the file that was written (size or sha256 differs): copy the bundle again."
            )
        if name.endswith(".onnx") and has_external_data(path):
            raise InvalidBundle(
                f"{name} keeps tensors in other files, which a bundle never follows: press it anew."
            )
    return manifest


def main(arguments: list[str]) -> int:
    """Verify the folder that the command line names."""
    if len(arguments) not in (1, 2):
        sys.stderr.write("usage: python3 -m bundle.verify FOLDER [DIGEST]\n")
        return 2
    try:
        manifest = verify_served(Path(arguments[0]), *arguments[1:])
    except (BundleError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{manifest.digest}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
