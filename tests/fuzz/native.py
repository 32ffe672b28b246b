"""Throw anything at the native library: python -m tests.fuzz.run native [SECONDS].

What its functions say is compared with Python's json and struct, and numpy's shortest decimals. Each works
between pages that cannot be touched, so that a byte read or written beside a text or a buffer ends the
process; and each is asked a second time in a library that traps what C leaves undefined.
"""

import ctypes
import json
import math
import random
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import atheris
import numpy as np

with atheris.instrument_imports(include=["handlers.inference", "bundle.json_text"]):
    from handlers.inference import documents, native
    from handlers.inference.errors import RequestError

from tests.fuzz.guarded import Guarded
from tests.fuzz.memory import Watch

TRAPPING = Path(__file__).parents[2] / "build" / "fuzz" / "native.so"
SIZES = {"e": 2, "f": 4, "d": 8, "b": 1, "h": 2, "i": 4, "q": 8, "B": 1, "H": 2, "I": 4, "Q": 8}
FLOATS = {"e": np.float16, "f": np.float32, "d": np.float64}
LONGEST = 4096
# Of read_numbers' shape; of scan, one span.
RANK, SPAN = 32, 32
WATCH = Watch(every=10_000, allowed_mib=64)
TEXT, OUT = Guarded(LONGEST + 1), Guarded(64 * LONGEST)


def check(content: bytes) -> None:
    """The first two bytes choose what is asked of the others."""
    if len(content) < 2:
        return
    choice, dtype = content[0], list(SIZES)[content[1] % len(SIZES)]
    for library in LIBRARIES:
        if choice % 4 == 0:
            check_written(library, content[2:], dtype, choice)
        else:
            check_scanned(library, content[2:], dtype, is_event=choice % 4 == 1, at_end=choice < 128)
    WATCH.ran()


def check_scanned(library: ctypes.CDLL, text: bytes, dtype: str, *, is_event: bool, at_end: bool) -> None:
    """A document without its bulk; its lists of numbers; what becomes of both together."""
    capacity, written = (len(text) + 7) & ~7, ctypes.c_uint64()
    # Python's bytes end with a zero that may be read.
    address, out = TEXT.hold(text + b"\0", at_end=at_end), OUT.hold(bytes(capacity), at_end=at_end)
    count = library.coldpress_scan(address, len(text), is_event, out, capacity, ctypes.byref(written))
    found = native.scan(text, is_event=is_event)
    assert (found is None) == (count < 0)
    if found is None:
        check_document(text, is_event=is_event)
        return
    skeleton, spans = found
    if count:
        assert ctypes.string_at(out, written.value) == skeleton
    rebuilt, last = b"", 0
    for start, end, size, is_body in spans:
        rebuilt += text[last:start] + b"NaN"
        last = end
        if is_body:
            rebuilt = rebuilt.removesuffix(b'"NaN') + b"NaN"
            last = end + 1
            check_unescaped(library, text, (start, end, size), address)
        else:
            assert size == text.count(b",", start, end)
            check_read(library, text, (start, end, size), dtype, address)
    assert rebuilt + text[last:] == skeleton
    check_document(text, is_event=is_event)


def check_unescaped(library: ctypes.CDLL, text: bytes, span: tuple[int, int, int], address: int) -> None:
    """A body without its escapes."""
    start, end, size = span
    out = OUT.hold(bytes(size), at_end=True)
    library.coldpress_unescape(address, start, end, out)
    expected = json.loads(b'"' + text[start:end] + b'"', strict=False) if is_utf8(text[start:end]) else None
    resolved = native.unescape(text, start, end, size)
    assert resolved == ctypes.string_at(out, size)
    if expected is not None:
        assert resolved == expected.encode(errors="surrogatepass")


def check_read(
    library: ctypes.CDLL, text: bytes, span: tuple[int, int, int], dtype: str, address: int
) -> None:
    """A list of numbers as elements of a dtype: Python's, or refused."""
    start, end, commas = span
    out = OUT.hold(bytes((commas + 1) * SIZES[dtype]), at_end=True)
    elements, shape, rank = ctypes.c_uint64(), (ctypes.c_int64 * RANK)(), ctypes.c_int32()
    results = (out, ctypes.byref(elements), shape, ctypes.byref(rank))
    status = library.coldpress_read_numbers(address, start, end, dtype.encode(), *results)
    numbers = documents.Numbers(text, start, end, commas)
    again, data, lengths = native.read_numbers(numbers, dtype, SIZES[dtype])
    assert status == again
    try:
        value = json.loads(text[start:end])
    except (ValueError, RecursionError):
        assert status != native.READ, text[start:end]
        return
    expected_shape, leaves = flattened(value)
    is_ragged = any(isinstance(leaf, list) for leaf in leaves)
    assert status != native.RAGGED or is_ragged, text[start:end]
    packed = None if is_ragged else packed_exactly(leaves, dtype)
    if status == native.READ:
        assert not is_ragged
        assert (lengths, bytes(data)) == (expected_shape, packed), (text[start:end], dtype)
        assert ctypes.string_at(out, elements.value * SIZES[dtype]) == packed
    elif status == native.UNUSUAL and packed is not None:
        assert is_unusual(text[start:end], leaves, dtype, len(expected_shape)), (text[start:end], dtype)


def is_unusual(text: bytes, leaves: list[Any], dtype: str, rank: int) -> bool:
    """Whether the library may leave right numbers to another reader: where it cannot tell how they round."""
    has_float = any(isinstance(leaf, float) for leaf in leaves)
    mantissas, exponents = zip(*(part.lower().partition(b"e")[::2] for part in text.split(b",")), strict=True)
    has_many_digits = any(
        len(mantissa.strip(b" \t\r\n[]+-").replace(b".", b"").lstrip(b"0")) > 19 for mantissa in mantissas
    )
    has_far_exponent = any(len(exponent.strip(b" \t\r\n[]+-")) > 4 for exponent in exponents)
    return rank > RANK or has_many_digits or has_far_exponent or (has_float and dtype not in FLOATS)


def flattened(value: Any) -> tuple[list[int], list[Any]]:
    """Shape and leaves of a nested list; of a ragged one, lists are among the leaves."""
    shape, level = [], [value]
    while level and all(isinstance(item, list) for item in level) and len({len(item) for item in level}) == 1:
        shape.append(len(level[0]))
        level = [leaf for item in level for leaf in item]
    return shape, level


def packed_exactly(leaves: list[Any], dtype: str) -> bytes | None:
    """The leaves' bytes; None where the dtype has not all of these numbers."""
    if dtype not in FLOATS and any(isinstance(leaf, float) for leaf in leaves):
        return None
    try:
        data = struct.pack(f"<{len(leaves)}{dtype}", *leaves)
    except (struct.error, OverflowError):
        return None
    held = struct.unpack(f"<{len(leaves)}{dtype}", data)
    exact = all(isinstance(leaf, float) or leaf == kept for leaf, kept in zip(leaves, held, strict=True))
    return data if exact and all(map(math.isfinite, held)) else None


def check_document(text: bytes, *, is_event: bool) -> None:
    """The whole is what Python's json makes of it, or refused by both."""
    if is_event:
        return
    try:
        expected = json.loads(text.decode())
    except (ValueError, RecursionError):
        expected = ...
    try:
        value = documents.as_objects(documents.read_json(text))
    except RequestError:
        assert expected is ... or not all(map(math.isfinite, written_floats(text))), text
        return
    if expected is ...:  # a list that is not there any more, as its name came twice, is not looked at
        _, spans = native.scan(text, is_event=False) or (b"", [])
        assert not all(is_json(text[start:end]) for start, end, _, _ in spans), text
        return
    assert repr(value) == repr(expected), text


def written_floats(text: bytes) -> list[float]:
    """Those that have digits: an infinity among them is out of float64's range."""
    found: list[float] = []

    def keep(digits: str) -> float:
        found.append(float(digits))
        return found[-1]

    json.loads(text.decode(), parse_float=keep)
    return found


def check_written(library: ctypes.CDLL, content: bytes, dtype: str, choice: int) -> None:
    """The elements of a tensor as text: right, and for floats the shortest that is."""
    shape = [length % 4 for length in content[: choice // 4 % 4]]
    shape.append(max(len(content) - 3, 0) // SIZES[dtype] // max(math.prod(shape), 1))
    count = math.prod(shape)
    data = content[3:][: count * SIZES[dtype]]
    data += bytes(count * SIZES[dtype] - len(data))
    lists = sum(math.prod(shape[:axis]) for axis in range(len(shape)))
    is_quoted = choice >= 128
    address = TEXT.hold(data, at_end=True) if len(data) <= LONGEST else None
    if address is None:
        return
    out = OUT.hold(bytes(32 * count + 3 * lists), at_end=True)
    lengths = (ctypes.c_int64 * len(shape))(*shape)
    size = library.coldpress_write_numbers(address, dtype.encode(), lengths, len(shape), is_quoted, out)
    text = native.write_numbers(memoryview(data), dtype, shape, is_quoted=is_quoted)
    assert ctypes.string_at(out, size) == text.encode()
    items = text.replace("[", "").replace("]", "").split(",") if count else []
    values = struct.unpack(f"<{count}{dtype}", data)
    assert len([item for item in items if item]) == count
    for item, value in zip(items, values, strict=False):
        check_item(item, value, dtype, is_quoted=is_quoted)
    assert repr(json.loads(text)).count("[") == text.count("[")
    assert structure(json.loads(text)) == structure(np.zeros(shape).tolist())


def check_item(item: str, value: float, dtype: str, *, is_quoted: bool) -> None:
    if dtype not in FLOATS:
        assert item == str(value)
    elif math.isfinite(value):
        kind = FLOATS[dtype]
        assert kind(item) == kind(value), (item, value)
        assert math.copysign(1, float(item)) == math.copysign(1, value)
        assert digits_of(item) == digits_of(np.format_float_scientific(kind(value), unique=True)), item
    else:
        named = "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        assert item == (f'"{named}"' if is_quoted else named)


def digits_of(number: str) -> str:
    """Those that count."""
    mantissa = number.lower().partition("e")[0].lstrip("-").replace(".", "")
    return mantissa.strip("0")


def structure(value: Any) -> Any:
    return [structure(item) for item in value] if isinstance(value, list) else None


def is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def mutated(content: bytes, max_size: int, seed: int) -> bytes:
    """libFuzzer's own changes; or numbers that are hard to read and write."""
    dice = random.Random(seed)
    return bytes(atheris.Mutate(content, max_size)) if dice.random() < 0.4 else generated(dice)[:max_size]


def generated(dice: random.Random) -> bytes:
    head = dice.randbytes(2)
    if head[0] % 4 == 0:
        return head + dice.randbytes(3) + elements(dice, list(SIZES)[head[1] % len(SIZES)])
    body = nested(dice, dice.choice([1, 1, 1, 2, 3, 40]), number_kind=dice.randrange(len(KINDS) + 1)).encode()
    if dice.random() < 0.2:
        at = dice.randrange(len(body))
        body = (
            body[:at]
            + dice.choice([b"]", b"[", b",", b"e", b".", b"-", b"+", b" ", b"0", b""])
            + body[at + 1 :]
        )
    before, after = dice.choice(SURROUNDINGS)
    return head + before + body + after


SURROUNDINGS = [
    (b"", b""),
    (b'{"data": ', b"}"),
    (b'{"a": "\\u00e4[1, 2", "b": ', b', "c": [[]], "body": "1"}'),
    (b'{"body": "' + b"\\n\\ud83d\\ude00\\\\" * 20, b'"}'),
    (b'{"x": NaN, "y": ', b"}"),
]


def elements(dice: random.Random, dtype: str) -> bytes:
    """Of any bits, of few bits, and decimals of few digits."""
    made = []
    for _ in range(dice.randrange(40)):
        kind = dice.randrange(3)
        if kind == 0 or dtype not in FLOATS:
            made.append(dice.randbytes(SIZES[dtype]))
        elif kind == 1:
            bits = dice.choice([1, 0, -1]) + (1 << dice.randrange(8 * SIZES[dtype]))
            made.append((bits % 2 ** (8 * SIZES[dtype])).to_bytes(SIZES[dtype], "little"))
        else:
            value = FLOATS[dtype](f"{dice.randrange(10 ** dice.randrange(1, 17))}e{dice.randrange(-30, 23)}")
            made.append(value.tobytes())
    return b"".join(made)


def nested(dice: random.Random, rank: int, number_kind: int) -> str:
    length = dice.choice([0, 1, 2, 3, 5, 30]) if rank == 1 else 1 if rank > 3 else dice.choice([1, 2, 3])
    space = dice.choice(["", "", " ", "\n\t "])
    if rank > 1:
        inner = nested(dice, rank - 1, number_kind)
        parts = [
            inner if dice.random() < 0.97 else nested(dice, rank - 1, number_kind) for _ in range(length)
        ]
    else:
        parts = [number(dice, number_kind) for _ in range(length)]
    return f"[{space}{f',{space}'.join(parts)}{space}]"


def halfway(dice: random.Random) -> float:
    """A float64 that is as far from one float32 as from the next."""
    low = np.frombuffer(dice.randbytes(4), np.float32)[0]
    with np.errstate(all="ignore"):
        middle = (float(low) + float(np.nextafter(low, np.float32(np.inf)))) / 2
    return middle if math.isfinite(middle) else 1.0


def tie(dice: random.Random) -> str:
    """As far from one float64 as from the next, or next to that, in at most about twenty digits."""
    places = dice.randrange(28)
    power = 5**places
    numerator = (dice.getrandbits(53) << 1 | 1 | 1 << 53) >> dice.choice([0, 0, 1, places, places * 2])
    return f"{numerator * power + dice.choice([-1, 0, 0, 0, 1])}e-{places}"


KINDS = (
    lambda dice: str(dice.randrange(-300, 300)),
    lambda dice: str(dice.choice([1, -1]) * ((1 << dice.randrange(66)) + dice.randrange(-2, 3))),
    lambda dice: repr(struct.unpack("<d", dice.randbytes(8))[0]),
    lambda dice: repr(float(struct.unpack("<f", dice.randbytes(4))[0])),
    lambda dice: str(struct.unpack("<f", dice.randbytes(4))[0]),
    lambda dice: f"{dice.random() * 10 ** dice.randrange(-5, 6):.{dice.randrange(1, 18)}f}",
    lambda dice: f"{dice.randrange(10 ** dice.randrange(1, 25))}e{dice.randrange(-360, 340)}",
    lambda dice: f"0.{'0' * dice.randrange(30)}{dice.randrange(10 ** dice.randrange(1, 25))}",
    tie,
    lambda dice: f"{halfway(dice):.{dice.choice([17, 40, 800])}g}",
    lambda dice: dice.choice(
        ["-0", "-0.0", "0e0", "01", "1.", ".5", "1e", "+1", "--1", "1E+5", "1e-400", "1e400"]
    ),
)


def number(dice: random.Random, kind: int) -> str:
    chosen = dice.choice(KINDS) if kind == len(KINDS) else KINDS[kind]
    text = chosen(dice)
    return text if text not in ("nan", "inf", "-inf") else "1.5"


def libraries() -> Iterator[ctypes.CDLL]:
    """The one that is served, and the one that traps; declared alike."""
    for library in (native._library, ctypes.CDLL(str(TRAPPING))):
        for name in ("scan", "unescape", "read_numbers", "write_numbers"):
            like, function = (
                getattr(native._library, f"coldpress_{name}"),
                getattr(library, f"coldpress_{name}"),
            )
            function.argtypes, function.restype = like.argtypes, like.restype
        yield library


LIBRARIES = tuple(libraries())


def main() -> None:
    """Run for as long as the command line says."""
    seconds = sys.argv[1] if len(sys.argv) > 1 else "60"
    corpus = TRAPPING.with_name("native")
    corpus.mkdir(parents=True, exist_ok=True)
    for seed in range(200):
        (corpus / f"seed-{seed}").write_bytes(generated(random.Random(seed))[:LONGEST])
    options = [f"-max_total_time={seconds}", f"-max_len={LONGEST}", "-timeout=20"]
    options += [f"-artifact_prefix={corpus.parent}/", str(corpus)]
    atheris.Setup([sys.argv[0], *options], check, custom_mutator=mutated)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
