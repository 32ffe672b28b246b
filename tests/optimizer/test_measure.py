import numpy as np

from optimizer.measure import cold_starts, latencies, representative
from optimizer.runtime import optimised_session, ort_format


def session(make, nodes):
    body = "h0 = MatMul (x, w) " + "".join(f"h{i} = MatMul (h{i - 1}, w) " for i in range(1, nodes))
    text = f"g (float[n, 64] x) => (float[n, 64] y) {{ {body} y = Relu (h{nodes - 1}) }}"
    return optimised_session(make(text, w=np.ones((64, 64), np.float32) / 64).SerializeToString())


FEEDS = [{"x": np.ones((64, 64), np.float32)}]


def test_half_the_work_is_measured_as_faster(make):
    timed = latencies(session(make, 40), {"half": session(make, 20)}, FEEDS, budget_s=0.3)["half"]
    assert 1.5 < timed.ratio < 2.7
    assert timed.low <= timed.ratio <= timed.high
    assert timed.original_ms / timed.ms == timed.ratio


def test_a_cold_start_takes_longer_than_a_run(make, tmp_path):
    text = "g (float[n, 64] x) => (float[n, 64] y) { y = Relu (x) }"
    (tmp_path / "m.onnx").write_bytes(make(text).SerializeToString())
    timed = latencies(session(make, 1), {"same": session(make, 1)}, FEEDS, budget_s=0.1)["same"]
    start = cold_starts({"m": tmp_path / "m.onnx"}, FEEDS[0])["m"]
    assert start.ms > timed.ms
    assert start.touched_bytes == (tmp_path / "m.onnx").stat().st_size


def test_what_an_ort_file_is_not_asked_for_is_not_touched(make, tmp_path):
    table = np.random.default_rng(0).normal(size=(100_000, 64)).astype(np.float32)
    model = make("g (int64[n] i) => (float[n, 64] y) { y = Gather (t, i) }", t=table)
    (tmp_path / "m.ort").write_bytes(ort_format(model.SerializeToString()))
    few, all_of_it = (
        cold_starts({"m": tmp_path / "m.ort"}, {"i": index})["m"].touched_bytes
        for index in (np.array([7]), np.arange(0, 100_000, 8))
    )
    size = (tmp_path / "m.ort").stat().st_size
    assert few < 0.2 * size
    assert 0.9 * size < all_of_it <= size


def test_inputs_of_several_sizes_are_represented():
    feeds = [{"x": np.zeros((1, length), np.float32)} for length in range(5, 128)]
    lengths = [feed["x"].shape[1] for feed in representative(feeds)]
    assert len(lengths) == 5
    assert min(lengths) < 30
    assert max(lengths) > 100


def test_one_of_equal_inputs_is_enough():
    assert len(representative(FEEDS * 9)) == 1
