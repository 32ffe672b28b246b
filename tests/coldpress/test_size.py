"""`coldpress size`: what it recommends, and that it measures at a share of a CPU."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coldpress import size
from coldpress.main import main
from coldpress.prices import prices_of
from coldpress.quota import NotAllowed
from coldpress.sizing import Row, recommend, usd_per_million
from tests.handlers.bundles import write_bundle
from tests.handlers.models import affine

ROWS = st.lists(
    st.builds(
        Row,
        memory_mb=st.sampled_from([128, 512, 1769, 3538]),
        vcpus=st.just(1.0),
        threads=st.just(1),
        latency_ms=st.floats(0.1, 1e4),
        cold_start_ms=st.none(),
        usd_per_million=st.floats(0.2, 1e3),
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(ROWS)
def test_the_extremes_are_the_extremes_and_balanced_is_between(rows: list[Row]) -> None:
    cheapest, quickest, balanced = (recommend(rows, name) for name in ("cost", "speed", "balanced"))
    assert cheapest.usd_per_million == min(row.usd_per_million for row in rows)
    assert quickest.latency_ms == min(row.latency_ms for row in rows)
    # Nothing else is both cheaper and quicker than what is recommended.
    for row in rows:
        assert not (row.usd_per_million < balanced.usd_per_million and row.latency_ms < balanced.latency_ms)


def test_balanced_weighs_both_alike() -> None:
    slow = Row(512, 0.29, 1, 100.0, None, 1.0)
    middle = Row(1769, 1.0, 1, 30.0, None, 1.2)
    quick = Row(3538, 2.0, 2, 20.0, None, 2.4)
    assert recommend([slow, middle, quick], "balanced") == middle
    assert recommend([slow, middle, quick], "cost") == slow
    assert recommend([slow, middle, quick], "speed") == quick


def test_a_million_requests_by_hand() -> None:
    # 10.2 ms are billed as 11; 2 GB.
    cost = usd_per_million(2048, 10.2, "x86_64", prices_of("us-east-1"))
    assert cost == pytest.approx(0.20 + 1e6 * 0.011 * 2 * 0.0000166667)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: str) -> tuple[int, str]:
        status = main(["size", *arguments])
        told = capsys.readouterr()
        return status, told.out + told.err

    return run


def test_it_measures_a_bundle(run: Any, pressed: Path) -> None:
    status, told = run(str(pressed), "--memory", "128,512,1769,10240", "--requests", "5", "--json")
    assert status == 0, told
    measured = json.loads(told)
    # 128 MB may be too small; 10240 MB have more CPUs than test machines.
    assert {512, 1769} <= {row["memory_mb"] for row in measured["rows"]} <= {128, 512, 1769, 10240}
    for row in measured["rows"]:
        assert row["cold_start_ms"] > row["latency_ms"] > 0
        assert row["threads"] == max(1, row["memory_mb"] // 1769)
    assert measured["recommended"] in measured["rows"]
    status, told = run(str(pressed), "--memory", "1769", "--requests", "3", "--strategy", "speed")
    assert status == 0
    assert "For speed: memory_mb 1769 (1 thread)" in told
    assert "█" in told


def test_without_quotas_it_says_so_and_scales_cpu_time(
    run: Any, pressed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def refuse(_vcpus: float) -> Iterator[Path]:
        raise NotAllowed("read-only file system")
        yield Path()

    monkeypatch.setattr(size, "cpu_share", refuse)
    status, told = run(str(pressed), "--memory", "512,1769", "--requests", "5", "--json")
    assert status == 0, told
    measured = json.loads(told)
    assert "quotas cannot be set (read-only file system)" in measured["notes"][-1]
    small, whole = measured["rows"]
    assert small["cold_start_ms"] > whole["cold_start_ms"]  # 3.5 times, if nobody else were here


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "Name a BUNDLE, or a deployed stack with --live"),
        (["nowhere"], "nowhere is not a bundle"),
        (["BUNDLE", "--requests", "0"], "at least 1 is needed"),
        (["SAMPLELESS"], "no golden sample that Lambda carries"),
    ],
)
def test_wrong_input_is_one_sentence(
    run: Any, pressed: Path, tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    known = {"BUNDLE": str(pressed), "SAMPLELESS": str(write_bundle(tmp_path, affine(), name="affine"))}
    status, told = run(*(known.get(argument, argument) for argument in arguments))
    assert status == 2
    assert sentence in told
    assert told.count("\n") == 1
