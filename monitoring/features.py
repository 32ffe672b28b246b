"""What is looked at in a request: every tensor as a few named numbers, whatever its size.

- a table (at most ``COLUMNS`` values): each value; texts, booleans and integers of few kinds as categories
- a field (a picture, a sound, an embedding): mean, spread, extremes, roughness; and, for the space of one
  side
  (space.py) only, its values, averaged along each axis until at most ``CELLS`` are left
- tokens (many integers, or of varying number) and texts: how many, how surprising, how many never seen
- scores of classes, among the outputs: predicted class, confidence and entropy as well

A value that is no number is NaN here: missing.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Rows = Array | Sequence[Array]
Kind = Literal["table", "field", "tokens", "text"]
Side = Literal["inputs", "outputs"]

COLUMNS = 96
CELLS = 256
FLAT_CELLS = 512
_CATEGORIES = 32
_FEWEST = 4  # of a category's samples
_BUCKETS = 2048
_VALUES = 2_000_000
LARGEST = 1e150  # of a value in sums, so that its square is a number


class SchemaMismatch(ValueError):
    """The tensors are not those of the baseline; the message says which and how."""


class Tensor(msgspec.Struct, frozen=True, kw_only=True):
    """How one tensor becomes features.

    ``shape`` is a request's, without the axis of requests; -1 where it varies. ``categories``: for a table,
    by column, the known ones in their order, or none. ``tokens``: of tokens and texts, how often each hashed
    one came. ``probabilities``: a table or field of class scores: whether they are probabilities.
    """

    name: str
    side: Side
    kind: Kind
    dtype: str
    shape: tuple[int, ...]
    categories: tuple[tuple[str, ...] | None, ...] = ()
    tokens: tuple[int, ...] = ()
    probabilities: bool | None = None


class Feature(msgspec.Struct, frozen=True, kw_only=True):
    """One number of a request."""

    name: str
    side: Side
    categories: tuple[str, ...] | None = None
    raw: bool = True  # a value as it came, and not something derived


class Features(NamedTuple):
    """``columns``: float64 [requests, features]; ``spaces``: by side, float64 [requests, cells].

    ``known``: bool [features], whether the requests had the tensor; a side that lacks one has no space.
    """

    columns: Array
    spaces: dict[str, Array]
    known: Array


def describe(name: str, side: Side, rows: Rows, fit: Array) -> Tensor:
    """How this tensor of the calibration data becomes features.

    ``fit``: the numbers of the samples that what is learned may be learned of.
    """
    shapes = {np.shape(row) for row in rows}
    ranks = {len(shape) for shape in shapes}
    if len(ranks) > 1:
        raise SchemaMismatch(f"'{name}' has samples of {len(ranks)} ranks: give them all the same.")
    shape = tuple(
        axis.pop() if len(axis) == 1 else -1 for axis in ({*sizes} for sizes in zip(*shapes, strict=True))
    )
    first = np.asarray(rows[0])
    size = -1 if -1 in shape else int(np.prod(shape))
    kind = first.dtype.kind
    tensor = Tensor(name=name, side=side, kind="field", dtype=first.dtype.name, shape=shape)
    if kind in "OUST" and (size != 1 or not _repeats(rows)):
        return msgspec.structs.replace(
            tensor, kind="text", dtype="string", tokens=_frequencies(rows, fit, "text")
        )
    if 0 <= size <= COLUMNS:
        matrix = np.array([np.asarray(row).reshape(-1) for row in rows])
        categories = tuple(_categories(column) for column in matrix.T)
        tensor = msgspec.structs.replace(
            tensor, kind="table", categories=categories, dtype="string" if kind in "OUST" else tensor.dtype
        )
    elif kind in "iub":
        return msgspec.structs.replace(tensor, kind="tokens", tokens=_frequencies(rows, fit, "tokens"))
    if side == "outputs" and kind == "f" and len(shape) == 1 and 2 <= size <= 4096:
        return msgspec.structs.replace(tensor, probabilities=_are_probabilities(rows, size))
    return tensor


def names(tensor: Tensor) -> list[Feature]:
    """The features of a tensor, in the order of ``columns``."""
    side, name = tensor.side, tensor.name

    def derived(*titles: str) -> list[Feature]:
        return [Feature(name=f"{name}: {title}", side=side, raw=False) for title in titles]

    if tensor.kind in ("tokens", "text"):
        return derived("length", "surprise", "never seen")
    found = []
    if tensor.kind == "table":
        lone = len(tensor.categories) <= 1  # there may be none: an axis of length 0
        found += [
            Feature(name=name if lone else f"{name}[{index}]", side=side, categories=categories)
            for index, categories in enumerate(tensor.categories)
        ]
        if not lone:
            found += derived("missing values")
    else:
        found += derived("mean", "spread", "smallest", "largest", "roughness", "missing values")
        if -1 in tensor.shape:
            found += derived("length")
    if _is_classes(tensor):
        count = tensor.shape[0]
        classes = tuple(map(str, range(count))) if count <= _CATEGORIES else None
        found.append(Feature(name=f"{name}: class", side=side, categories=classes, raw=False))
        found += derived("confidence", "entropy")
    return found


def extract(tensors: Sequence[Tensor], inputs: Mapping[str, Rows], outputs: Mapping[str, Rows]) -> Features:
    """The features of a batch of requests; a tensor's rows are along its first axis, or a list.

    Outputs that nobody asked for may be missing, but of all requests alike.

    Raises:
        SchemaMismatch: a tensor is missing, or of another type or shape than in the calibration data.
    """
    columns: list[Array] = []
    known: list[bool] = []
    spaces: dict[str, list[Array]] = {"inputs": [], "outputs": []}
    count = len(next(iter((inputs or outputs).values()), ()))
    for tensor in tensors:
        given = inputs if tensor.side == "inputs" else outputs
        width = len(names(tensor))
        known += [tensor.name in given] * width
        if tensor.name not in given:
            if tensor.side == "inputs" or not (inputs or outputs):
                raise SchemaMismatch(f"the requests have no '{tensor.name}' among their {tensor.side}.")
            columns.append(np.full((count, width), np.nan))
            spaces.pop("outputs", None)
            continue
        found, space = _EXTRACT[tensor.kind](tensor, _checked(tensor, given[tensor.name]))
        columns.append(found)
        if space is not None and tensor.side in spaces:
            spaces[tensor.side].append(space)
    if len({len(found) for found in columns}) > 1:
        raise SchemaMismatch("the tensors are not of the same number of requests.")
    return Features(
        columns=np.concatenate(columns, axis=1),
        spaces={side: np.concatenate(parts, axis=1) for side, parts in spaces.items() if parts},
        known=np.array(known, bool),
    )


def _checked(tensor: Tensor, rows: Rows) -> Rows:
    for row in rows if -1 in tensor.shape or not isinstance(rows, np.ndarray) else rows[:1]:
        shape = np.shape(row)
        if len(shape) != len(tensor.shape) or any(
            want not in (-1, have) for want, have in zip(tensor.shape, shape, strict=True)
        ):
            raise SchemaMismatch(
                f"'{tensor.name}' has requests of shape {list(shape)}, but the baseline's are "
                f"{['any' if size == -1 else size for size in tensor.shape]}."
            )
        texts = np.asarray(row).dtype.kind in "OUST"
        if texts != (tensor.dtype == "string"):
            raise SchemaMismatch(
                f"'{tensor.name}' is {'text' if texts else 'numbers'}, but {tensor.dtype} in the baseline."
            )
    return rows


def _table(tensor: Tensor, rows: Rows) -> tuple[Array, Array | None]:
    matrix = np.asarray(rows).reshape(len(rows), len(tensor.categories))
    texts = matrix.dtype.kind in "OUST"
    found = np.empty(matrix.shape) if texts else _numbers(matrix)
    for index, categories in enumerate(tensor.categories):
        if categories is not None:
            found[:, index] = _codes(matrix[:, index], categories)
    parts = [found]
    if len(tensor.categories) > 1:
        parts.append(np.isnan(found).sum(axis=1, keepdims=True))
    if _is_classes(tensor):
        parts.append(_classes(found, probabilities=bool(tensor.probabilities)))
    return np.concatenate(parts, axis=1), None if texts else found


def _field(tensor: Tensor, rows: Rows) -> tuple[Array, Array | None]:
    varies = -1 in tensor.shape
    # A few rows at a time, as they are held in float64.
    step = 1 if varies else max(1, _VALUES // max(1, int(np.prod(tensor.shape))))
    parts, spaces = [], []
    for start in range(0, len(rows), step):
        values = (
            _numbers(np.asarray(rows[start]))[None]
            if varies
            else _numbers(np.asarray(rows[start : start + step]))
        )
        parts.append(_statistics(values, varies=varies))
        spaces.append(_cells(values, tensor.shape))
    found = np.concatenate(parts)
    if _is_classes(tensor):
        matrix = np.asarray(rows, np.float64)
        found = np.concatenate([found, _classes(matrix, probabilities=bool(tensor.probabilities))], axis=1)
    return found, np.concatenate(spaces)


def _statistics(values: Array, *, varies: bool) -> Array:
    flat = values.reshape(len(values), -1)
    missing = np.isnan(flat).sum(axis=1)
    if not flat.shape[1]:
        flat = np.full((len(values), 1), np.nan)
    filled = np.where(np.isnan(flat), 0, flat) if missing.any() else flat
    steps = np.abs(np.diff(filled, axis=1)).mean(axis=1) if flat.shape[1] > 1 else np.zeros(len(flat))
    with np.errstate(over="ignore", invalid="ignore"):
        parts = [
            filled.mean(axis=1),
            filled.std(axis=1),
            filled.min(axis=1),
            filled.max(axis=1),
            steps,
            missing,
        ]
    if varies:
        parts.append(np.full(len(values), values[0].size))
    return np.stack(parts, axis=1).astype(np.float64)


def _cells(values: Array, shape: tuple[int, ...]) -> Array:
    """Averages over parts of each axis, so that at most ``CELLS`` are left; 1 part of an axis that varies."""
    sizes = [1 if size == -1 else size for size in shape]
    most = FLAT_CELLS if len(sizes) == 1 else CELLS
    while np.prod(sizes) > most:
        longest = int(np.argmax(sizes))
        sizes[longest] = -(-sizes[longest] // 2)
    found = np.where(np.isnan(values), 0, values)
    for axis, parts in enumerate(sizes, start=1):
        length = found.shape[axis]
        if length == 0:
            return np.zeros((len(values), int(np.prod(sizes))))
        if parts != length:
            starts = np.arange(parts) * length // parts
            widths = np.diff(np.append(starts, length))
            tail = [1] * (found.ndim - axis - 1)
            found = np.add.reduceat(found, starts, axis=axis) / widths.reshape(-1, *tail)
    return found.reshape(len(values), -1)


def _tokens(tensor: Tensor, rows: Rows) -> tuple[Array, Array | None]:
    counts = np.array(tensor.tokens, np.float64)
    surprise = -np.log((counts + 0.5) / (counts.sum() + 0.5 * _BUCKETS))
    found = np.zeros((len(rows), 3))
    for index, row in enumerate(rows):
        hashed = _hashed(np.asarray(row), tensor.kind)
        if len(hashed):
            found[index] = len(hashed), surprise[hashed].mean(), (counts[hashed] == 0).mean()
    return found, None


_EXTRACT = {"table": _table, "field": _field, "tokens": _tokens, "text": _tokens}


def _numbers(values: Array) -> Array:
    return values.astype(np.float64, copy=False)


def _is_classes(tensor: Tensor) -> bool:
    """Class scores: probabilities, or few enough values that they may be logits."""
    return tensor.probabilities is not None and (tensor.probabilities or tensor.kind == "table")


def _classes(values: Array, *, probabilities: bool) -> Array:
    """Predicted class, confidence and entropy; of softmax where they are no probabilities."""
    filled = np.where(np.isfinite(values), values, -1e30 if not probabilities else 0)
    shares = filled
    if not probabilities:
        shares = np.exp(np.maximum(filled - filled.max(axis=1, keepdims=True), -700))
        shares /= shares.sum(axis=1, keepdims=True)
    entropy = -(shares * np.log(np.maximum(shares, 1e-12))).sum(axis=1)
    return np.stack([filled.argmax(axis=1), shares.max(axis=1), entropy], axis=1)


def _are_probabilities(rows: Rows, size: int) -> bool:
    values = np.asarray(rows, np.float64).reshape(-1, size)
    return bool((values >= -1e-6).all() and np.allclose(values.sum(axis=1), 1, atol=1e-3))


def _repeats(rows: Rows) -> bool:
    """Whether texts are categories: most of them came more than once."""
    counts = Counter(str(np.asarray(row).reshape(-1)[0]) for row in rows)
    return sum(count for count in counts.values() if count >= _FEWEST) > 0.5 * len(rows)


def _categories(column: Array) -> tuple[str, ...] | None:
    if column.dtype.kind not in "OUSTbiu":
        return None
    numeric = column.dtype.kind in "biu"
    counts = Counter(column.tolist() if numeric else map(_text, column))
    if numeric and len(counts) > _CATEGORIES:
        return None
    kept = [value for value, count in counts.most_common(_CATEGORIES) if count >= _FEWEST]
    return tuple(str(int(value)) for value in sorted(kept)) if numeric else tuple(kept)


def _codes(column: Array, categories: tuple[str, ...]) -> Array:
    """The number of each category; a new or rare one has the number after the last."""
    known = {category: code for code, category in enumerate(categories)}
    values = column.tolist()
    if column.dtype.kind in "OUST":
        return np.array(
            [np.nan if value is None else known.get(_text(value), len(known)) for value in values]
        )
    return np.array(
        [
            np.nan if math.isnan(value) else known.get(f"{value:.0f}" if value % 1 == 0 else "", len(known))
            for value in values
        ],
        np.float64,
    )


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _frequencies(rows: Rows, fit: Array, kind: Kind) -> tuple[int, ...]:
    total = np.zeros(_BUCKETS, np.int64)
    for index in fit:
        total += np.bincount(_hashed(np.asarray(rows[index]), kind), minlength=_BUCKETS)
    return tuple(total.tolist())


def _hashed(row: Array, kind: Kind) -> Array:
    """Tokens, or pairs of neighbouring characters, in ``_BUCKETS`` by a fixed hash."""
    if kind == "text":
        text = "\n".join(map(_text, row.reshape(-1)))
        points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
        codes = points[:-1] * np.uint64(1_114_112) + points[1:] if len(points) > 1 else points
    else:
        codes = row.reshape(-1).astype(np.int64).view(np.uint64)
    # Fibonacci hashing (Knuth, The Art of Computer Programming, volume 3, 6.4).
    return ((codes * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(53)).astype(np.intp)
