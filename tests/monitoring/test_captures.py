"""Captured requests read back: whatever state an object is in, each line of it is used or counted."""

import base64
import gzip
import json
import random
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitoring.build import build
from monitoring.captures import REFUSED, Seen, Tally, Wanted, batches, lines
from monitoring.monitor import Monitor
from tests.monitoring.subjects import SUBJECTS, some, table

DIGEST = "9f" * 32
DATATYPES = {"float32": "FP32", "float64": "FP64", "int64": "INT64", "int32": "INT32", "bool": "BOOL"}


@pytest.fixture(scope="module")
def baseline():
    return build(*table(np.random.default_rng(0), 2000))


@pytest.fixture(scope="module")
def wanted(baseline):
    return Wanted(baseline.tensors, DIGEST)


def tensor(name, array, *, as_bytes=False):
    array = np.asarray(array)
    texts = array.dtype.kind in "OUS"
    datatype = "BYTES" if texts else DATATYPES[array.dtype.name]
    if as_bytes and not texts:
        data = {"b64": base64.b64encode(array.tobytes()).decode()}
    elif array.dtype.kind == "f":
        data = [
            value if np.isfinite(value) else str(value).replace("nan", "NaN")
            for value in array.ravel().tolist()
        ]
    else:
        data = array.ravel().tolist()
    return {"name": name, "datatype": datatype, "shape": list(array.shape), "data": data}


def record(number, inputs, outputs, **more):
    return {
        "schema": 1,
        "inference_id": f"id-{number}",
        "request_id": f"r-{number}",
        "time_ms": 1_700_000_000_000 + number * 1000,
        "model": "toy",
        "version": "1",
        "digest": DIGEST,
        "route": "predict",
        "status": 200,
        "latency_ms": 1.5,
        "inputs": [tensor(name, rows, as_bytes=number % 2 == 0) for name, rows in inputs.items()],
        "outputs": [tensor(name, rows, as_bytes=number % 2 == 0) for name, rows in outputs.items()],
        **more,
    }


def records(draw, count, seed=1):
    """Records of one row each."""
    inputs, outputs = draw(np.random.default_rng(seed), count)

    def row(tensors, number):
        found = some(tensors, np.array([number]))
        return {n: r if isinstance(r, np.ndarray) else r[0][np.newaxis] for n, r in found.items()}

    return [record(number, row(inputs, number), row(outputs, number)) for number in range(count)]


def packed(found, *, compressed=True):
    content = b"".join((one if isinstance(one, bytes) else json.dumps(one).encode()) + b"\n" for one in found)
    return gzip.compress(content) if compressed else content


def chunked(content, size=1000):
    return [content[start : start + size] for start in range(0, len(content), size)]


def read(content, wanted, *, seen=None, tally=None, size=1000, **options):
    tally = Tally() if tally is None else tally
    found = list(batches(chunked(content, size), wanted, seen or Seen(), tally, **options))
    return found, tally


@pytest.mark.parametrize("kind", SUBJECTS)
def test_requests_of_every_kind_come_back_as_they_were(kind):
    draw = SUBJECTS[kind]
    base = build(*draw(np.random.default_rng(0), 300))
    inputs, outputs = draw(np.random.default_rng(1), 40)
    found, tally = read(packed(records(draw, 40)), Wanted(base.tensors, DIGEST), rows=16)
    assert tally.counts["read"] == 40
    assert [len(batch.ids) for batch in found] == [16, 16, 8]
    np.testing.assert_allclose(found[0].times[:3], [1.7e9, 1.7e9 + 1, 1.7e9 + 2])
    direct, captured = Monitor(base), Monitor(base)
    for start, batch in zip((0, 16, 32), found, strict=True):
        chosen = np.arange(start, min(start + 16, 40))
        direct.update(some(inputs, chosen), some(outputs, chosen))
        captured.update(batch.inputs, batch.outputs)
    assert captured.encode() == direct.encode()


def test_a_request_of_several_rows_is_several(baseline, wanted):
    inputs, outputs = table(np.random.default_rng(1), 7)
    (batch,), tally = read(packed([record(0, inputs, outputs)]), wanted)
    assert batch.ids == ["id-0"] * 7
    np.testing.assert_array_equal(batch.inputs["x"], inputs["x"])
    np.testing.assert_array_equal(batch.times, [1.7e9] * 7)
    assert (tally.counts["read"], tally.counts["rows"]) == (1, 7)


def test_an_object_that_was_cut_gives_what_is_whole(wanted):
    content = packed(records(table, 200))
    found, tally = read(content[: len(content) // 2], wanted)
    rows = sum(len(batch.ids) for batch in found)
    assert 50 < rows < 150
    assert tally.counts["cut"] == 1
    assert tally.counts["read"] == rows
    assert tally.first["cut"] == "captures: the object ends before its end"


def test_a_gzip_that_is_wrong_within_is_cut(wanted):
    content = bytearray(packed(records(table, 200)))
    content[len(content) // 2 :] = b"\xff" * 100
    found, tally = read(bytes(content), wanted)
    assert sum(len(batch.ids) for batch in found) == tally.counts["read"] > 50
    assert tally.counts["cut"] == 1


def test_several_gzips_behind_each_other_are_one_object(wanted):
    whole = records(table, 20)
    content = packed(whole[:9]) + packed(whole[9:])
    for size in (1, 7, 100_000):
        _, tally = read(content, wanted, size=size)
        assert tally.counts == {
            "read": 20,
            "rows": 20,
            **{k: v for k, v in tally.counts.items() if "fin" in k},
        }


def test_what_is_wrong_is_counted_and_named(wanted):
    good = records(table, 12)
    found = [
        good[0],
        b'{"schema": 1, "inference_id":',
        b"\xff\xfe not even text",
        {**good[1], "schema": 2},
        {**good[2], "digest": "ab" * 32},
        good[0],
        {**good[3], "inputs": []},
        {
            **good[4],
            "inputs": [{**good[4]["inputs"][0], "shape": [1, 9], "data": [0] * 9}, *good[4]["inputs"][1:]],
        },
        {**good[5], "inputs": [{**one, "data": [1, 2]} for one in good[5]["inputs"]]},
        {**good[6], "inputs": [{**one, "datatype": "FP33"} for one in good[6]["inputs"]]},
        good[7],
        b"x" * 3_000_000,
        good[8],
    ]
    batched, tally = read(packed(found), wanted, name="object")
    assert [i for batch in batched for i in batch.ids] == ["id-0", "id-7", "id-8"]
    counts = {name: tally.counts.get(name, 0) for name in REFUSED}
    assert counts == {"damaged": 5, "other schema": 1, "other digest": 1, "duplicated": 1, "misfit": 2}
    assert tally.first["other schema"] == "object:4: schema 2, but this release reads 1"
    assert tally.first["other digest"] == "object:5: abababababab"
    assert tally.first["duplicated"] == "object:6"
    assert tally.first["misfit"] == "object:7: 'x' is not among the inputs"


def test_values_that_are_no_numbers_are_read_and_counted(wanted):
    ones = records(table, 4)
    for one in ones:
        x = next(found for found in one["inputs"] if found["name"] == "x")
        x["data"] = [1.0, 2.0, 3.0, 4.0, 5.0]
    broken = next(found for found in ones[2]["inputs"] if found["name"] == "x")
    broken["data"] = ["NaN", "-Infinity", 1, 2, "Infinity"]
    (batch,), tally = read(packed(ones), wanted)
    assert tally.counts["not finite"] == 1
    np.testing.assert_array_equal(batch.inputs["x"][2], np.float32([np.nan, -np.inf, 1, 2, np.inf]))


def test_what_was_redacted_is_missing(baseline, wanted):
    one = records(table, 1)[0]
    for found in one["inputs"]:
        if found["name"] == "x":
            found |= {"data": [1.0, None, 3.0, 4.0, 5.0], "redacted": [1]}
        elif found["name"] == "rooms":
            found |= {"data": [None], "redacted": [0]}
        else:
            found |= {"data": None, "redacted": True}
    (batch,), tally = read(packed([one]), wanted)
    np.testing.assert_array_equal(batch.inputs["x"], np.float32([[1, np.nan, 3, 4, 5]]))
    assert np.isnan(batch.inputs["rooms"]).all()
    assert batch.inputs["kind"].tolist() == [[None]]
    assert tally.counts["redacted"] == 1
    Monitor(baseline).update(batch.inputs, batch.outputs)


def test_what_is_late_or_out_of_order_is_read_and_counted(wanted):
    ones = records(table, 4)
    ones[1]["time_ms"] = ones[0]["time_ms"] + 7_200_000
    ones[2]["time_ms"] = ones[1]["time_ms"] - 10
    _, tally = read(packed(ones), wanted)
    assert tally.counts["read"] == 4
    assert (tally.counts["late"], tally.counts["out of order"]) == (1, 1)
    assert tally.first["late"] == "captures:4: 2.0 hours behind the newest"


def test_what_was_seen_before_is_seen_by_the_next_run(wanted):
    content = packed(records(table, 50))
    seen = Seen()
    read(content, wanted, seen=seen)
    state = seen.encode()
    assert len(state) == 400
    found, tally = read(content, wanted, seen=Seen(state))
    assert (found, tally.counts) == ([], {"duplicated": 50})


def test_seen_is_bounded():
    seen = Seen(capacity=100)
    assert all(seen.add(str(number)) for number in range(1000))
    assert len(seen.encode()) == 800
    assert not seen.add("950")
    assert seen.add("850")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_each_line_is_used_or_counted_once(data):
    base = _small()
    good = _GOOD
    kinds = st.sampled_from(["good", "garbage", "schema", "digest", "twice", "misfit", "nan"])
    chosen = data.draw(st.lists(kinds, max_size=30))
    found = []
    for number, kind in enumerate(chosen):
        one = good[number]
        found.append(
            {
                "good": one,
                "garbage": data.draw(st.binary(min_size=1, max_size=30)).replace(b"\n", b"?") + b"{",
                "schema": {**one, "schema": 7},
                "digest": {**one, "digest": "0" * 64},
                "twice": good[0],
                "misfit": {**one, "inputs": []},
                "nan": {**one, "time_ms": 5},
            }[kind]
        )
    content = packed(found, compressed=data.draw(st.booleans()))
    size = data.draw(st.integers(1, 500))
    batched, tally = read(content, Wanted(base.tensors, DIGEST), size=size, rows=data.draw(st.integers(1, 9)))
    counts = tally.counts
    assert counts.get("read", 0) == sum(len(batch.ids) for batch in batched)
    assert counts.get("read", 0) + sum(counts.get(name, 0) for name in REFUSED) == len(found)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 3000), st.booleans())
def test_wherever_an_object_is_cut_the_lines_before_are_used(at, compressed):
    base = _small()
    content = packed(_GOOD, compressed=compressed)[:at]
    batched, _ = read(content, Wanted(base.tensors, DIGEST))
    ids = [found for batch in batched for found in batch.ids]
    assert ids == [f"id-{number}" for number in range(len(ids))]
    if not compressed:
        assert len(ids) in (content.count(b"\n"), content.count(b"\n") + 1)


def test_memory_is_flat_however_large_an_object_is(wanted):
    block = packed(records(table, 100), compressed=False)

    def endless():
        compressor = zlib.compressobj(1, wbits=31)
        for _ in range(400):
            yield compressor.compress(block)
        yield compressor.flush()

    tracemalloc.start()
    tally = Tally()
    for batch in batches(endless(), wanted, Seen(), tally):
        assert batch.ids
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert tally.counts["duplicated"] == 39_900
    assert peak < 8_000_000


def test_a_bomb_is_read_in_pieces():
    bomb = gzip.compress(b"\0" * 50_000_000)
    tracemalloc.start()
    tally = Tally()
    assert list(lines([bomb], tally)) == []
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert tally.counts == {"damaged": 1}
    assert peak < 10_000_000


_GOOD = [
    record(number, {"x": np.float32([[number, random.Random(number).random()]])}, {"y": np.float32([[1.0]])})
    for number in range(30)
]


def _small():
    rng = np.random.default_rng(0)
    if not _CACHE:
        inputs = {"x": rng.normal(size=(50, 2)).astype(np.float32)}
        _CACHE.append(build(inputs, {"y": rng.normal(size=(50, 1)).astype(np.float32)}))
    return _CACHE[0]


_CACHE = []


def test_of_a_request_that_asked_for_some_outputs_these_are_read(wanted):
    found = records(table, 9)
    for number in (3, 4, 8):
        found[number]["outputs"] = [one for one in found[number]["outputs"] if one["name"] == "label"]
    batched, tally = read(packed(found), wanted)
    assert [batch.ids for batch in batched] == [
        ["id-0", "id-1", "id-2"],
        ["id-3", "id-4"],
        ["id-5", "id-6", "id-7"],
        ["id-8"],
    ]
    assert [sorted(batch.outputs) for batch in batched] == [["label", "p"], ["label"]] * 2
    assert all(sorted(batch.inputs) == ["kind", "rooms", "x"] for batch in batched)
    assert (tally.counts["read"], tally.counts["partial"], "misfit" in tally.counts) == (9, 3, False)
