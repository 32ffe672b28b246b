"""A sample of the bundle's ``golden.npz``: a real input, as the model was checked with.

Fetched and verified only when somebody asks, because nothing else in this process reads it; read without
numpy, and nothing in it is executed. It is a zip of arrays, and an array a header and its bytes:
https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
"""

from __future__ import annotations

import ast
import io
import zipfile
from hashlib import sha256
from pathlib import Path

from handlers.inference import log
from handlers.inference.errors import InitError, RequestError
from handlers.inference.tensor import ITEM_SIZES, Tensor, element_count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO

    from handlers.inference.dataplane import Model

_MAGIC = b"\x93NUMPY"
# `<f4` is float32: numpy's first letters, and how many bytes an element has.
_DTYPES = {f"{name[0]}{size}": name for name, size in ITEM_SIZES.items()}
_LETTER_BYTES = {"U": 4, "S": 1}


class Unusable(Exception):
    """An array that is no tensor, or too long."""


def golden_sample(model: Model, limit: int) -> dict[str, Tensor] | None:
    """The inputs of the first golden sample that has at most ``limit`` elements.

    None: there is none, or it is out of reach; then the log says why.
    """
    if model.file is None:
        return None
    try:
        with zipfile.ZipFile(io.BytesIO(model.file("golden.npz"))) as archive:
            return _first(model, archive, limit)
    except FileNotFoundError:
        return None  # an image need not hold it
    except InitError as error:
        log.say(f"the description has no golden sample: {error}")
    except Exception as error:  # noqa: BLE001 - zipfile has many; ones in its place are better than no page
        kind, place = type(error).__name__, log.place_of(error)
        log.say(f"the description has no golden sample: golden.npz cannot be read ({kind} at {place})")
    return None


def read_file(folder: str, name: str, digest: str) -> bytes:
    """A file of the bundle whose sha256 is ``digest``.

    Raises:
        InitError: it is another file.
        OSError: it cannot be read.
    """
    content = (Path(folder) / name).read_bytes()
    if sha256(content).hexdigest() != digest:
        raise InitError(f"{folder}/{name} is not the file that was written: copy the bundle again.")
    return content


def _first(model: Model, archive: zipfile.ZipFile, limit: int) -> dict[str, Tensor] | None:
    names = set(archive.namelist())
    number = 0
    while all(f"{number}/inputs/{name}.npy" in names for name in model.inputs):
        left, sample = limit, {}
        try:
            for name in model.inputs:
                with archive.open(f"{number}/inputs/{name}.npy") as file:
                    sample[name] = read_array(file, left)
                left -= sample[name].size
            model.check(sample)
        except (Unusable, RequestError):
            number += 1
        else:
            return sample
    return None


def read_array(file: IO[bytes], limit: int) -> Tensor:
    """One array with at most ``limit`` elements.

    Raises:
        Unusable: it is none, or is written in a way that `optimize` does not.
    """
    start = file.read(8)
    if start[:6] != _MAGIC:
        raise Unusable
    length = int.from_bytes(file.read(2 if start[6] == 1 else 4), "little")
    try:
        header = ast.literal_eval(file.read(length).decode())
        kind, shape = str(header["descr"]), tuple(map(int, header["shape"]))
    except (ValueError, SyntaxError, TypeError, KeyError):
        raise Unusable from None
    count = element_count(shape)
    is_text = kind[1:2] in _LETTER_BYTES
    if count > limit or header.get("fortran_order") or kind[0] == ">" or not (is_text or kind[1:] in _DTYPES):
        raise Unusable
    if is_text:
        return Tensor("string", shape, _texts(file.read(), kind, count))
    dtype = _DTYPES[kind[1:]]
    data = file.read(count * ITEM_SIZES[dtype])
    if len(data) != count * ITEM_SIZES[dtype]:
        raise Unusable
    return Tensor(dtype, shape, memoryview(data))


def _texts(data: bytes, kind: str, count: int) -> list[bytes]:
    """Strings of equal length, filled up with NUL; numpy's are UTF-32 or bytes."""
    width = int(kind[2:]) * _LETTER_BYTES[kind[1]]
    texts = [data[i * width : (i + 1) * width] for i in range(count)]
    if kind[1] == "U":
        texts = [text.decode("utf-32-le", errors="replace").encode() for text in texts]
    return [text.rstrip(b"\0") for text in texts]
