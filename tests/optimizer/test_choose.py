import msgspec
import pytest

from bundle.manifest import Figures
from optimizer.choose import Margin, Measured, choose_file, contenders, is_hopeless, ranked
from optimizer.evaluate import Scores
from optimizer.measure import Latency
from optimizer.search.plan import CLEAN


def latency(ratio, spread=0.02):
    return Latency(ms=10 / ratio, original_ms=10, ratio=ratio, low=ratio - spread, high=ratio + spread)


def scores(drop, error=0.001):
    return Scores(before=1, after=1 - drop, drop=drop, low=drop, high=drop, error=error, samples=100)


def candidate(name, ratio=1.0, size=100, *, drop=0.0, cold=50.0, error=0.001):
    figures = Figures(size_bytes=100, latency_ms=10, cold_start_ms=50)
    return Measured(
        name=name,
        title=name,
        before=figures,
        after=msgspec.structs.replace(figures, size_bytes=size, cold_start_ms=cold),
        latency=latency(ratio) if ratio != 1 else latency(1, 0),
        scores=scores(drop, 0 if drop == 0 else error),
    )


def names(candidates, objective="latency", bound=0.01):
    return [one.name for one in ranked(candidates, objective, bound)]


ORIGINAL = candidate("original")


def test_the_fastest_comes_first_and_the_original_last():
    assert names([ORIGINAL, candidate("a", 1.2), candidate("b", 2)]) == ["b", "a", "original"]


@pytest.mark.parametrize(("objective", "ratio", "size"), [("latency", 0.98, 100), ("size", 1.01, 120)])
def test_the_original_in_ort_format_is_served_only_where_it_is_no_worse(objective, ratio, size):
    converted = msgspec.structs.replace(candidate("original", ratio, size), serve="model.ort")
    assert ranked([converted], objective, 0.01)[-1].is_as_it_was
    better = msgspec.structs.replace(candidate("original", 1.02, 90), serve="model.ort")
    assert ranked([better], objective, 0.01)[-1].serve == "model.ort"


def test_of_those_as_fast_as_the_fastest_the_smallest_comes_first():
    tried = [ORIGINAL, candidate("large", 2.0, 60), candidate("small", 1.95, 25), candidate("slow", 1.5, 10)]
    assert names(tried) == ["small", "large", "slow", "original"]


@pytest.mark.parametrize(
    ("ratio", "size", "drop", "best"),
    [
        (1.0, 30, 0.0, "clean"),
        (1.0, 99, 0.0, "original"),
        (0.9, 30, 0.0, "original"),
        (1.0, 30, 0.02, "original"),
    ],
)
def test_the_cleaned_graph_is_served_where_it_is_as_fast_and_smaller(ratio, size, drop, best):
    clean = msgspec.structs.replace(candidate("clean", ratio, size, drop=drop), plan=CLEAN)
    lossy = candidate("lossy", 1.0, 10)
    assert names([ORIGINAL, lossy, clean])[0] == best


def test_what_cannot_be_told_from_the_fastest_counts_as_as_fast():
    noisy = msgspec.structs.replace(candidate("noisy", 1.8, 25), latency=latency(1.8, spread=0.3))
    assert names([ORIGINAL, candidate("large", 2.0, 60), noisy])[0] == "noisy"


def test_only_those_that_may_be_the_fastest_race():
    tried = [
        ORIGINAL,
        candidate("a", 2.0),
        candidate("b", 1.99),
        candidate("c", 1.2),
        candidate("d", 3, drop=0.5),
    ]
    assert [one.name for one in contenders(tried, 0.01)] == ["a", "b"]


def test_what_is_outside_the_bound_or_too_close_to_it_is_not_chosen():
    tried = [ORIGINAL, candidate("outside", 2, drop=0.011), candidate("close", 2, drop=0.0095, error=0.001)]
    assert names(tried) == ["original"]
    assert names(tried, bound=0.02) == ["outside", "close", "original"]


def test_what_is_faster_only_by_noise_is_not_chosen():
    noisy = msgspec.structs.replace(candidate("noisy"), latency=latency(1.1, spread=0.2))
    assert names([ORIGINAL, noisy, candidate("hardly", 1.02)]) == ["original"]


def test_a_candidate_that_failed_or_was_given_up_is_not_chosen():
    failed = Measured(name="failed", title="failed", failure="no kernel")
    given_up = msgspec.structs.replace(candidate("given-up", 3), hopeless_at=0.001)
    assert names([ORIGINAL, failed, given_up]) == ["original"]


def test_a_drop_that_is_no_number_is_outside():
    assert names([ORIGINAL, candidate("broken", 3, drop=float("nan"))]) == ["original"]
    assert is_hopeless(scores(float("nan")), 0.01)


def test_size_never_takes_a_slower_one():
    tried = [ORIGINAL, candidate("tiny", 0.5, 10), candidate("small", 1.1, 25), candidate("larger", 3, 120)]
    assert names(tried, "size") == ["small", "original"]


def test_cold_start_takes_the_soonest_that_is_not_slower():
    tried = [ORIGINAL, candidate("slow", 0.9, cold=1), candidate("soon", 1.1, cold=20)]
    assert names(tried, "cold-start")[0] == "soon"


def test_a_megabyte_that_is_read_first_counts_ten_ms():
    tried = [
        msgspec.structs.replace(one, after=msgspec.structs.replace(one.after, cold_start_bytes=touched))
        for one, touched in (
            (candidate("heavy", 1.1, cold=15), 2_000_000),
            (candidate("light", 1.1, cold=20), 1_000_000),
        )
    ]
    assert names(tried, "cold-start") == ["light", "heavy"]


@pytest.mark.parametrize(
    ("onnx", "ort", "objective", "file"),
    [
        (1.25, 0.85, "latency", "onnx"),
        (1.25, 1.24, "latency", "ort"),
        (1.0, 0.98, "latency", "onnx"),
        (1.0, 1.0, "latency", "ort"),
        (1.25, 1.01, "cold-start", "ort"),
        (1.25, 0.9, "cold-start", "onnx"),
        (1.01, 1.25, "size", "onnx"),
        (0.9, 1.25, "size", "ort"),
    ],
)
def test_which_file_is_served(onnx, ort, objective, file):
    timed = {"onnx": latency(onnx), "ort": latency(ort)}
    assert choose_file(timed, {"onnx": 50, "ort": 10}, {"onnx": 8, "ort": 48}, objective) == file


@pytest.mark.parametrize(("ort", "file"), [(1.5, "onnx"), (1.6, "ort")])
def test_an_ort_file_that_starts_later_has_to_be_faster(ort, file):
    timed = {"onnx": latency(1.5), "ort": latency(ort)}
    assert choose_file(timed, {"onnx": 50, "ort": 70}, {"onnx": 8, "ort": 14}, "latency") == file


def test_a_few_samples_may_show_that_there_is_no_hope():
    assert is_hopeless(scores(0.05, 0.005), 0.01)
    assert not is_hopeless(scores(0.05, 0.02), 0.01)


def test_a_wider_margin_asks_for_more_and_says_how_many_samples_would_do():
    one = candidate("a", 2, drop=0.006, error=0.002)
    assert one.is_within(0.01)
    assert one.samples_needed(0.01) == 25  # of 100: the margin may be half of what is left
    strict = msgspec.structs.replace(one, margin=Margin(3.0))
    assert not strict.is_within(0.01)
    assert strict.samples_needed(0.01) == 225
    assert candidate("b", 2, drop=0.02).samples_needed(0.01) is None


def test_what_no_sample_showed_counts_where_the_interval_is_binding():
    one = candidate("a", 2, drop=0, error=0)
    one = msgspec.structs.replace(one, scores=msgspec.structs.replace(one.scores, unseen=0.02))
    assert one.is_within(0.01)
    strict = msgspec.structs.replace(one, margin=Margin(3.0, 2.0))
    assert not strict.is_within(0.01)
    assert strict.samples_needed(0.01) == 400  # of 100: it falls with their number
