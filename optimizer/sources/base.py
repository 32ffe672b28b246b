"""What every source takes and gives."""

import hashlib
import logging
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from bundle.manifest import Origin
from optimizer.errors import InputError

_PIECE = 1024**2


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A model as the user named it: a path, or ``module:factory``.

    ``folder`` is where the ONNX file goes. ``calibration`` is what ``--calibration`` says: a source that does
    not know its inputs takes names, dtypes and shapes from there.
    """

    text: str
    folder: Path
    calibration: str
    state_dict: Path | None = None
    trust_pickle: bool = False

    @property
    def path(self) -> Path:
        """The same as a path."""
        return Path(self.text)


@dataclass(frozen=True, kw_only=True)
class Converted:
    """The model as an ONNX file, and what its source knew: ``extras`` are the bundle's optional files."""

    path: Path
    origin: Origin
    name: str | None = None
    class_labels: tuple[str, ...] = ()
    extras: Mapping[str, bytes] = field(default_factory=dict)


def need(packages: Iterable[str], extra: str, what: str) -> None:
    """Refuse where a package that converts ``what`` is missing.

    Raises:
        InputError: the sentence names the extra.
    """
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise InputError(
            f"{what} needs {missing[0]}, which is not here: pip install 'coldpress[{extra}]', "
            "or make setup-sources."
        )


@contextmanager
def quietly() -> Iterator[None]:
    """What frameworks print is for their developers, and stdout is for this command's own lines."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(sys.stderr):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def origin_of(framework: str, path: Path, files: Iterable[Path]) -> Origin:
    """Where a model came from; the digest is over the files' names and bytes, in their order."""
    total = hashlib.sha256()
    for file in files:
        total.update(f"{file.name}\n".encode())
        with file.open("rb") as stream:
            while piece := stream.read(_PIECE):
                total.update(piece)
    return Origin(framework=framework, file=path.name, sha256=total.hexdigest())
