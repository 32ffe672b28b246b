"""Which of two tools the table says is better."""

import json

import pytest

import benchmarks.optimize
from benchmarks.judge import Verdict
from benchmarks.models import MODELS, Case
from benchmarks.optimize import compare, compared, kept_rows, merged
from optimizer.evaluate import Scores
from optimizer.measure import Latency

ORIGINAL_SIZE = 100


def verdict(drop: float, ratio: float, size: int = 50) -> Verdict:
    scores = Scores(before=1, after=1 - drop, drop=drop, low=drop, high=drop, error=0, samples=9)
    latency = Latency(ms=1, original_ms=ratio, ratio=ratio, low=ratio * 0.98, high=ratio * 1.02)
    return Verdict(scores=scores, latency=latency, size=size)


@pytest.mark.parametrize(
    ("ours", "peer", "expected"),
    [
        (verdict(0.005, 2.0), verdict(0.005, 1.5), "yes: peer, 1.5x"),
        (verdict(0.005, 1.5), verdict(0.005, 2.0), "no: peer, 2x"),
        (verdict(0.005, 1.51), verdict(0.005, 1.5), "even: peer, 1.5x"),
        (verdict(0.005, 1.2), verdict(0.02, 2.0), "yes: the original, 1x"),
        (verdict(0.005, 1.2), verdict(0.005, 0.5), "yes: the original, 1x"),
        (verdict(0.0, 1.0), verdict(0.02, 2.0), "even: the original, 1x"),
        (verdict(0.02, 3.0), verdict(0.005, 1.5), "no: outside the bound"),
        (Verdict(error="it stops"), verdict(0.005, 1.5), "no: it failed"),
        (verdict(0.005, 1.2), Verdict(error="it stops"), "yes: the original, 1x"),
    ],
)
def test_the_faster_within_the_bound(ours, peer, expected):
    assert compare(ours, {"peer": peer}, Case(0.01), ORIGINAL_SIZE) == expected


@pytest.mark.parametrize(
    ("ours", "peer", "expected"),
    [
        (verdict(0.005, 1.1, 20), verdict(0.005, 1.5, 30), "yes: peer, 3e-05 MB"),
        (verdict(0.005, 1.1, 30), verdict(0.005, 1.5, 20), "no: peer, 2e-05 MB"),
        (verdict(0.005, 1.1, 30), verdict(0.005, 0.5, 20), "yes: the original, 0.0001 MB"),
        (verdict(0.005, 0.9, 10), verdict(0.005, 1.5, 30), "no: peer, 3e-05 MB"),
    ],
)
def test_the_smaller_that_is_not_slower(ours, peer, expected):
    assert compare(ours, {"peer": peer}, Case(0.01, "size"), ORIGINAL_SIZE) == expected


def row(model, tool, asked, drop):
    return {"model": model.title, "tool": tool, "asked": asked, "drop": drop}


def test_a_part_of_the_table_leaves_the_other_rows_where_they_are():
    rec, minilm = MODELS[0], next(model for model in MODELS if model.name == "minilm")
    trained = next(case for case in minilm.cases if case.train)
    untrained = minilm.cases[0]
    kept = [
        row(rec, "NNCF quantize", "", 0.1),
        row(minilm, "NNCF quantize", "", 0.2),
        row(minilm, "coldpress optimize", untrained.title, 0.3),
    ]
    new = [
        row(minilm, "coldpress optimize, trained", trained.title, 0.4),
        row(minilm, "NNCF quantize", "", 0.5),
    ]
    assert [(one["tool"], one["drop"]) for one in merged(kept, new)] == [
        ("NNCF quantize", 0.1),
        ("NNCF quantize", 0.5),
        ("coldpress optimize", 0.3),
        ("coldpress optimize, trained", 0.4),
    ]


def test_what_is_no_longer_asked_goes():
    assert merged([row(MODELS[0], "coldpress optimize", "latency, 0.9, x86_64", 0.1)], []) == []


def test_rows_of_another_cpu_are_not_mixed_in(tmp_path, monkeypatch):
    results = {"rows": [row(MODELS[0], "NNCF quantize", "", 0.1)], "machine": {"cpu": "another"}}
    (tmp_path / "optimize.json").write_text(json.dumps(results))
    monkeypatch.setattr(benchmarks.optimize, "RESULTS", tmp_path)
    assert kept_rows() == []
    monkeypatch.setattr(benchmarks.optimize, "cpu", lambda: "another")
    assert kept_rows() == results["rows"]


def test_every_case_of_a_model_has_a_name_of_its_own():
    for model in MODELS:
        assert len({case.title for case in model.cases}) == len(model.cases)


def measured(model, tool, asked, speed, verdict=None):
    figures = {
        "drop": 0.0,
        "drop interval": [0.0, 0.0],
        "samples": 9,
        "ms before": 1.0,
        "MB": 1.0,
        "MB before": 2.0,
        "error": None,
    }
    speeds = {"speed-up": speed, "speed-up interval": [speed - 0.1, speed + 0.1], "beats best peer": verdict}
    return {**row(model, tool, asked, 0.0), **figures, **speeds}


def test_a_peer_that_is_measured_later_counts():
    model = MODELS[0]
    ours = measured(model, "coldpress optimize", model.cases[0].title, 1.5, "yes: the original, 1x")
    peer = measured(model, "NNCF quantize", "", 2.0)
    assert [one["beats best peer"] for one in compared([peer, ours])] == [None, "no: NNCF quantize, 2x"]


def test_what_trains_is_beside_what_trains():
    model = next(one for one in MODELS if one.name == "digits")
    trained = next(case for case in model.cases if case.train)
    peer = measured(model, "NVIDIA ModelOpt, distilled to a half", "", 2.0)
    rows = compared(
        [
            peer,
            measured(model, "coldpress optimize", model.cases[0].title, 1.5),
            measured(model, "coldpress optimize, trained", trained.title, 2.5),
        ]
    )
    assert [one["beats best peer"] for one in rows[1:]] == [
        "yes: the original, 1x",
        "yes: NVIDIA ModelOpt, distilled to a half, 2x",
    ]
