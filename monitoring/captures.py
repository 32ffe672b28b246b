"""Captured requests (docs/capture.md) as the arrays that a Monitor takes: in pieces, and nothing lost unsaid.

An object of S3 is read as its bytes come, so memory is flat however large it is. Every line of it is either
in a batch or counted in the tally, under exactly one of ``REFUSED``.
"""

import base64
import hashlib
import math
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from monitoring.features import Rows, Side, Tensor

SCHEMA_VERSION = 1
# A line that is in no batch is counted as one of these.
REFUSED = ("damaged", "other schema", "other digest", "duplicated", "misfit")
# Of those that are: what was odd about them.
ODD = ("not finite", "redacted", "partial", "out of order", "late")

_LATE_MS = 3_600_000
_PIECE_BYTES = 64 * 1024
# A record has at most 1,000 KB.
_LONGEST_LINE = 2 * 1024**2
_MOST_ELEMENTS = 64 * 1024**2
_GZIP = b"\x1f\x8b"
_DTYPES = {
    "BOOL": np.dtype("bool"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "BYTES": np.dtype(object),
    **{f"INT{bits}": np.dtype(f"<i{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": np.dtype(f"<u{bits // 8}") for bits in (8, 16, 32, 64)},
}

Array = npt.NDArray[Any]
Place = tuple[Side, str]  # where a tensor is in a request


class Tally(msgspec.Struct, kw_only=True):
    """What became of the lines that were read.

    ``counts`` are by name: ``read`` (requests in batches), ``rows`` of them, ``cut`` (objects that end before
    their end), and the names in ``REFUSED`` and ``ODD``. ``first`` says where the first of each was, and what
    was wrong. ``newest_ms`` is the time of the newest request.
    """

    counts: dict[str, int] = {}
    first: dict[str, str] = {}
    newest_ms: int = 0

    def note(self, what: str, where: str, why: str = "", count: int = 1) -> None:
        """Count, and keep where it was first."""
        self.counts[what] = self.counts.get(what, 0) + count
        self.first.setdefault(what, f"{where}: {why}" if why else where)


class Seen:
    """Which requests were seen: the last ``capacity`` of them, in 8 bytes each."""

    def __init__(self, state: bytes = b"", capacity: int = 16_384) -> None:
        self._capacity = capacity
        self._keys = dict.fromkeys(state[start : start + 8] for start in range(0, len(state), 8))

    def add(self, inference_id: str) -> bool:
        """Whether it is new."""
        key = hashlib.blake2b(inference_id.encode(errors="replace"), digest_size=8).digest()
        if key in self._keys:
            return False
        self._keys[key] = None
        if len(self._keys) > self._capacity:
            del self._keys[next(iter(self._keys))]
        return True

    def encode(self) -> bytes:
        """State, to go on from."""
        return b"".join(self._keys)


class Wanted(NamedTuple):
    """Which captures are looked at: those of one bundle, with the tensors of its baseline."""

    tensors: Sequence[Tensor]
    digest: str


class Batch(NamedTuple):
    """Requests in the order in which they were captured, a request of several rows as so many.

    ``ids`` are inference ids, ``times`` float64 seconds since 1970, both by row; ``inputs`` and ``outputs``
    are by tensor an array of the rows along the first axis, or a list where their shapes differ.
    """

    ids: list[str]
    times: Array
    inputs: dict[str, Rows]
    outputs: dict[str, Rows]


class Misfit(ValueError):
    """The tensors are not the baseline's; the message says which."""


class Request(NamedTuple):
    """One request; ``tensors`` are by side and name, rows along the first axis."""

    id: str
    time: float
    rows: int
    tensors: dict[Place, Array]


def fitted(
    inference_id: str, time: float, given: Mapping[Place, Array], tensors: Sequence[Tensor]
) -> Request:
    """A request, held against the baseline's tensors; the time is in seconds since 1970.

    Of outputs those that were asked for are enough.

    Raises:
        Misfit: a tensor is missing or another, or they are not of the same number of rows.
    """
    read: dict[Place, Array] = {}
    for tensor in tensors:
        place = (tensor.side, tensor.name)
        if place in given:
            read[place] = _rows_of(tensor, given[place])
        elif tensor.side == "inputs":
            raise Misfit(f"'{tensor.name}' is not among the {tensor.side}")
    if not read:
        raise Misfit("it has none of the outputs")
    counts = {len(array) for array in read.values()}
    if len(counts) > 1:
        raise Misfit("its tensors are not of the same number of rows")
    return Request(inference_id, time, counts.pop() if counts else 0, read)


def joined(requests: Iterable[Request]) -> Iterator[Batch]:
    """Requests as batches, of which each has the same tensors throughout."""
    for _, alike in groupby(requests, key=lambda request: tuple(request.tensors)):
        yield _batch(list(alike))


def _batch(requests: Sequence[Request]) -> Batch:
    ids = [request.id for request in requests for _ in range(request.rows)]
    times = np.repeat([request.time for request in requests], [request.rows for request in requests])

    def of(side: Side) -> dict[str, Rows]:
        names = [name for found, name in requests[0].tensors if found == side]
        return {name: _stacked([request.tensors[side, name] for request in requests]) for name in names}

    return Batch(ids, times, of("inputs"), of("outputs"))


def requests_of(batch: Batch) -> Iterator[Batch]:
    """Each request by itself: its rows lie together."""
    start = 0
    for inference_id, group in groupby(batch.ids):
        end = start + sum(1 for _ in group)
        yield Batch(
            [inference_id],
            batch.times[start:end],
            {name: rows[start:end] for name, rows in batch.inputs.items()},
            {name: rows[start:end] for name, rows in batch.outputs.items()},
        )
        start = end


class _Tensor(msgspec.Struct):
    name: str
    datatype: str
    shape: tuple[int, ...]
    data: msgspec.Raw
    redacted: bool | list[int] | None = None


class _Record(msgspec.Struct):
    schema: int
    inference_id: str
    time_ms: int
    digest: str
    inputs: list[_Tensor] = []
    outputs: list[_Tensor] = []


class _Schema(msgspec.Struct):
    schema: int


class _Bytes(msgspec.Struct, forbid_unknown_fields=True):
    b64: str


class _Damaged(ValueError):
    """A line is no record; the message says what of it is wrong."""


_decode_record = msgspec.json.Decoder(_Record)
_decode_schema = msgspec.json.Decoder(_Schema)
_decode_floats = msgspec.json.Decoder(list[float | str | None])
_decode_integers = msgspec.json.Decoder(list[int | None])
_decode_booleans = msgspec.json.Decoder(list[bool | None])
_decode_strings = msgspec.json.Decoder(list[str | _Bytes | None])
_decode_bytes = msgspec.json.Decoder(_Bytes)


def batches(  # noqa: PLR0913 - what is read, for whom, and what becomes of it
    chunks: Iterable[bytes],
    wanted: Wanted,
    seen: Seen,
    tally: Tally,
    *,
    name: str = "captures",
    rows: int = 256,
) -> Iterator[Batch]:
    """The requests in one object, about ``rows`` rows at a time.

    Args:
        chunks: the object's bytes, gzipped or not, in pieces of any size.
        wanted: what is looked at.
        seen: what was seen before; what is seen here is added.
        tally: what everything is counted in.
        name: of the object, for the tally.
        rows: after how many a batch is whole.
    """
    waiting: list[Request] = []
    count = 0
    for number, line in enumerate(lines(chunks, tally, name), start=1):
        request = _read(line, wanted, seen, tally, f"{name}:{number}")
        if request is None:
            continue
        waiting.append(request)
        count += request.rows
        if count >= rows:
            yield from joined(waiting)
            waiting, count = [], 0
    yield from joined(waiting)


def lines(chunks: Iterable[bytes], tally: Tally, name: str = "object") -> Iterator[bytes]:
    """The lines of an object, gzipped or not; that it was cut, or a line has no end, is counted."""
    pieces = _Pieces(chunks)
    rest, is_skipping = b"", False
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            if is_skipping:  # the end of the one that was too long
                is_skipping = False
            elif line.strip():
                yield line
        if len(rest) > _LONGEST_LINE:
            if not is_skipping:
                tally.note("damaged", name, f"a line of more than {_LONGEST_LINE} bytes")
            rest, is_skipping = b"", True
    if pieces.is_cut:
        tally.note("cut", name, "the object ends before its end")
    elif rest.strip() and not is_skipping:
        yield rest


class _Pieces:
    """The content of an object; ``is_cut`` is true in the end where gzip says that there was more."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = filter(None, chunks)
        self.is_cut = False

    def __iter__(self) -> Iterator[bytes]:
        head = b""
        for chunk in self._chunks:
            head += chunk
            if len(head) >= len(_GZIP):
                break
        if head.startswith(_GZIP):
            yield from self._inflated(head)
            return
        yield head
        yield from self._chunks

    def _inflated(self, head: bytes) -> Iterator[bytes]:
        inflater: Any = zlib.decompressobj(31)
        pending = head
        try:
            while True:
                while pending and not inflater.eof:
                    yield inflater.decompress(pending, _PIECE_BYTES)
                    pending = inflater.unconsumed_tail
                pending = inflater.unused_data or next(self._chunks, b"")
                if not pending:
                    break
                if inflater.eof:  # another gzip behind the first one
                    inflater = zlib.decompressobj(31)
            yield inflater.flush()
            self.is_cut = not inflater.eof
        except zlib.error:
            self.is_cut = True


def _read(line: bytes, wanted: Wanted, seen: Seen, tally: Tally, where: str) -> Request | None:
    """The line's request; None where it is not looked at, which is counted then."""
    try:
        schema = _decode_schema.decode(line).schema
        if schema != SCHEMA_VERSION:
            tally.note("other schema", where, f"schema {schema}, but this release reads {SCHEMA_VERSION}")
            return None
        record = _decode_record.decode(line)
        if record.digest != wanted.digest:
            tally.note("other digest", where, record.digest[:12])
            return None
        request = _request(record, wanted.tensors)
    except Misfit as error:
        tally.note("misfit", where, str(error))
        return None
    except (msgspec.DecodeError, UnicodeDecodeError, _Damaged) as error:
        tally.note("damaged", where, str(error))
        return None
    if not seen.add(record.inference_id):
        tally.note("duplicated", where)
        return None
    _note_oddities(record, request, tally, where)
    if len(request.tensors) < len(wanted.tensors):
        tally.note("partial", where)
    return request


def _note_oddities(record: _Record, request: Request, tally: Tally, where: str) -> None:
    tally.note("read", where)
    tally.note("rows", where, count=request.rows)
    if any(tensor.redacted for tensor in (*record.inputs, *record.outputs)):
        tally.note("redacted", where)
    elif any(not _is_finite(array) for array in request.tensors.values()):
        tally.note("not finite", where)
    behind = tally.newest_ms - record.time_ms
    if behind > _LATE_MS:
        tally.note("late", where, f"{behind / _LATE_MS:.1f} hours behind the newest")
    elif behind > 0:
        tally.note("out of order", where)
    tally.newest_ms = max(tally.newest_ms, record.time_ms)


def _is_finite(array: Array) -> bool:
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def _request(record: _Record, tensors: Sequence[Tensor]) -> Request:
    wanted = {(tensor.side, tensor.name) for tensor in tensors}
    sides: tuple[tuple[Side, list[_Tensor]], ...] = ("inputs", record.inputs), ("outputs", record.outputs)
    given = {
        (side, tensor.name): _array(tensor)
        for side, found in sides
        for tensor in found
        if (side, tensor.name) in wanted
    }
    return fitted(record.inference_id, record.time_ms / 1e3, given, tensors)


def _rows_of(tensor: Tensor, array: Array) -> Array:
    """With the axis of requests: of a model without one, a record is one."""
    rows = array[np.newaxis] if array.ndim == len(tensor.shape) else array
    fits = rows.ndim == len(tensor.shape) + 1 and all(
        want in (-1, have) for want, have in zip(tensor.shape, rows.shape[1:], strict=True)
    )
    if not fits or (array.dtype.kind == "O") != (tensor.dtype == "string"):
        raise Misfit(f"'{tensor.name}' is {array.dtype} {list(array.shape)}, not as in the baseline")
    return rows


def _array(tensor: _Tensor) -> Array:
    """A captured tensor; what was redacted is missing: NaN, or None among strings."""
    dtype = _DTYPES.get(tensor.datatype)
    size = math.prod(tensor.shape)
    if dtype is None or min(tensor.shape, default=0) < 0 or size > _MOST_ELEMENTS:
        raise _Damaged(f"'{tensor.name}' has no datatype or shape that a tensor has")
    raw = bytes(tensor.data)
    if raw == b"null":
        missing = np.array(None, object) if dtype.kind == "O" else np.array(np.nan)
        return np.broadcast_to(missing, tensor.shape)
    try:
        flat = _from_bytes(raw, dtype) if raw.startswith(b"{") else _READERS[dtype.kind](raw, dtype)
        return flat.reshape(tensor.shape)
    except (ValueError, OverflowError, TypeError):
        raise _Damaged(
            f"the data of '{tensor.name}' are not {tensor.datatype} {list(tensor.shape)}"
        ) from None


def _from_bytes(raw: bytes, dtype: np.dtype[Any]) -> Array:
    return np.frombuffer(base64.b64decode(_decode_bytes.decode(raw).b64, validate=True), dtype)


def _floats(raw: bytes, dtype: np.dtype[Any]) -> Array:
    values = [math.nan if value is None else float(value) for value in _decode_floats.decode(raw)]
    with np.errstate(over="ignore"):
        return np.array(values, np.float64).astype(dtype)


def _integers(raw: bytes, dtype: np.dtype[Any]) -> Array:
    values = _decode_integers.decode(raw)
    return _or_missing(values, dtype)


def _booleans(raw: bytes, dtype: np.dtype[Any]) -> Array:
    return _or_missing(_decode_booleans.decode(raw), dtype)


def _or_missing(values: Sequence[int | None], dtype: np.dtype[Any]) -> Array:
    """As floats where some are redacted, for integers know no missing value."""
    if None in values:
        return np.array([math.nan if value is None else value for value in values], np.float64)
    return np.array(values, dtype)


def _strings(raw: bytes, _dtype: np.dtype[Any]) -> Array:
    values = _decode_strings.decode(raw)
    found = np.empty(len(values), object)
    found[:] = [
        base64.b64decode(value.b64, validate=True) if isinstance(value, _Bytes) else value for value in values
    ]
    return found


_READERS = {"f": _floats, "i": _integers, "u": _integers, "b": _booleans, "O": _strings}


def _stacked(arrays: Sequence[Array]) -> Rows:
    if len({array.shape[1:] for array in arrays}) == 1:
        return np.concatenate(arrays)
    return [row for array in arrays for row in array]
