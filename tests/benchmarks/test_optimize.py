"""Which of two tools the table says is better."""

import pytest

from benchmarks.judge import Verdict
from benchmarks.models import Case
from benchmarks.optimize import compare
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
