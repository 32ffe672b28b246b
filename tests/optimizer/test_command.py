"""The command `optimize`, from outside: what it prints, its status, and what it leaves on the disk."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from msgspec.structs import replace

from bundle.arrays import golden_samples, load_npz
from bundle.folder import verify
from coldpress.optimize import main
from monitoring.baseline import decode
from optimizer.measure import Latency
from optimizer.runtime import run, serving_session
from optimizer.work import default_measurements

TEXT = """g (float[batch, 3, 16, 16] x) => (float[batch, 10] y) {
    c = Conv <pads = [1, 1, 1, 1]> (x, w1) m = Mul (c, gain) r = Relu (m)
    d = Conv <pads = [1, 1, 1, 1]> (r, w2) p = GlobalAveragePool (d) f = Flatten (p) h = MatMul (f, w3)
    i = Relu (h) y = MatMul (i, w4) }"""


@pytest.fixture
def model(make, rng, tmp_path):
    shapes = {
        "w1": (32, 3, 3, 3),
        "gain": (1, 32, 1, 1),
        "w2": (32, 32, 3, 3),
        "w3": (32, 256),
        "w4": (256, 10),
    }
    weights = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    path = tmp_path / "My Model_1.onnx"
    onnx.save(make(TEXT, opset=13, **weights), path)
    return path


@pytest.fixture
def data(rng, tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, x=rng.normal(size=(40, 3, 16, 16)).astype(np.float32))
    return path


@pytest.fixture
def press(model, data, tmp_path, capsys):
    """Run the command with usable arguments, some replaced; gives status, stdout and stderr."""

    def call(*more, model=model, calibration=data, evaluation=data, max_drop="0.05", out=tmp_path / "out"):
        arguments = [model, "--calibration", calibration, "--evaluation", evaluation, "--max-drop", max_drop]
        status = main([*map(str, arguments), "-o", str(out), *more])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


def bundles(folder):
    return list(folder.glob("*/*/manifest.json"))


def assert_refused(result, tmp_path, *words):
    status, out, err = result
    assert status == 2
    assert out == ""
    assert err.startswith("optimize: error: ")
    assert err.count("\n") == 1
    for word in words:
        assert word in err
    assert bundles(tmp_path / "out") == []


class TestBundle:
    def test_it_is_valid_and_keeps_its_promise(self, press, model, data):
        status, out, err = press("--json")
        assert (status, err) == (0, "")
        result = json.loads(out)
        manifest = verify_folder(result)
        assert manifest.name == "my-model-1"
        assert manifest.metric.drop <= 0.05
        assert set(result) == {
            "bundle", "digest", "metric", "drop", "bound", "speedup", "size_before", "size_after", "passes"
        }  # fmt: skip
        assert result["size_before"] == model.stat().st_size
        assert manifest.signature.inputs[0].shape == ["batch", 3, 16, 16]

    def test_the_golden_samples_replay_within_the_stated_error(self, press):
        folder = folder_of(press("--json"))
        manifest = verify(folder)
        session = serving_session(folder / manifest.serve)
        samples = golden_samples(load_npz(folder / "golden.npz"))
        assert samples
        for inputs, expected in samples:
            gap = np.abs(run(session, inputs, ["y"])["y"] - expected["y"]).max()
            assert gap <= manifest.golden_error["y"] * 1.001 + 1e-6

    def test_both_files_answer_alike(self, press):
        folder = folder_of(press("--json", "--objective", "size"))
        (inputs, _), *_ = golden_samples(load_npz(folder / "golden.npz"))
        answers = [
            run(serving_session(folder / name), inputs, ["y"])["y"] for name in ("model.onnx", "model.ort")
        ]
        np.testing.assert_allclose(*answers, rtol=0.1, atol=0.05 * np.abs(answers[0]).max())

    def test_the_baseline_and_the_report_are_those_of_this_model(self, press):
        folder = folder_of(press("--json", "--name", "small"))
        baseline = decode((folder / "baseline.json").read_bytes())
        assert baseline.samples == 40
        assert [(tensor.name, tensor.shape) for tensor in baseline.tensors] == [
            ("x", (3, 16, 16)),
            ("y", (10,)),
        ]
        assert "y: class" in [feature.name for feature in baseline.features]
        page = (folder / "report.html").read_text()
        assert "<h1>small</h1>" in page
        assert "static int8" in page
        assert "http" not in page
        assert "<script" not in page
        assert "--max-drop 0.05" in page
        assert "--json" not in page
        for section in ("front", "candidates", "layers", "worst", "reproduce"):
            assert f'<section id="{section}">' in page

    def test_where_one_answer_does_well_the_summary_says_so(self, press, data, tmp_path):
        constant = tmp_path / "constant.npz"
        np.savez(constant, x=np.repeat(load_npz(data)["x"][:1], 20, axis=0))
        status, out, _ = press(evaluation=constant)
        assert status == 0
        assert "answering always the same gets 1.00" in out

    def test_a_second_run_is_quick_and_gives_the_same_digest(self, press, monkeypatch):
        first = json.loads(press("--json")[1])
        monkeypatch.setattr("optimizer.candidates.latencies", None)  # nothing is measured again
        assert json.loads(press("--json")[1]) == first

    def test_another_folder_gets_the_same_model_without_measuring_anew(self, press, monkeypatch, tmp_path):
        first = json.loads(press("--json")[1])
        monkeypatch.setattr("optimizer.candidates.latencies", None)
        second = json.loads(press("--json", out=tmp_path / "elsewhere")[1])
        assert second["passes"] == first["passes"]
        models = [Path(result["bundle"], "model.onnx").read_bytes() for result in (first, second)]
        assert models[0] == models[1]

    def test_another_bound_reuses_what_was_measured(self, press, monkeypatch):
        press("--max-drop", "0.5")
        monkeypatch.setattr("optimizer.candidates.latencies", None)
        status, out, _ = press("--json", max_drop="0.4")
        assert status == 0
        assert json.loads(out)["bound"] == 0.4

    def test_objective_size_is_smaller(self, press):
        result = json.loads(press("--json", "--objective", "size", max_drop="1")[1])
        assert result["size_after"] <= result["size_before"]

    def test_no_time_means_only_lossless_candidates(self, press):
        result = json.loads(press("--json", "--time-budget", "0", max_drop="1")[1])
        assert not [name for name in result["passes"] if name.startswith("Quantize")]

    def test_a_link_to_a_model_is_as_good_as_the_model(self, press, model, tmp_path):
        (tmp_path / "link.onnx").symlink_to(model)
        result = press("--json", "--time-budget", "0", model=tmp_path / "link.onnx")
        assert json.loads(result[1])["size_before"] == model.stat().st_size

    def test_the_report_shows_the_command_even_if_it_is_no_unicode(self, press, data, tmp_path):
        odd = tmp_path / os.fsdecode(b"caf\xe9.npz")
        data.rename(odd)
        folder = folder_of(press("--json", "--time-budget", "0", calibration=odd, evaluation=odd))
        assert "caf?.npz" in (folder / "report.html").read_text()

    def test_confidence_makes_the_end_of_the_interval_binding(self, press):
        result = press("--json", "--confidence", "0.95", max_drop="0.2")
        metric = verify(folder_of(result)).metric
        assert metric.interval[1] <= 0.2 * 1.01  # bootstrap quantiles against the normal's

    def test_another_objective_reuses_what_was_measured(self, press, monkeypatch):
        press("--json", max_drop="1")
        again: list[object] = []
        monkeypatch.setattr("optimizer.search.search.measure_layers", lambda *given: again.append(given))
        result = json.loads(press("--json", "--objective", "cold-start", max_drop="1")[1])
        assert result["size_after"] < result["size_before"]
        assert not again

    def test_a_target_with_vnni_needs_no_care(self, press):
        manifest = verify(folder_of(press("--json", "--target", "x86_64-vnni", max_drop="1")))
        assert manifest.target == "x86_64-vnni"
        assert not [p for p in manifest.passes if p.parameters.get("avx2_safe")]

    def test_the_summary_for_people_names_the_bundle(self, press):
        status, out, err = press()
        assert (status, err) == (0, "")
        assert "unseen samples" in out
        assert out.count("\n") == 6

    def test_labels_are_what_the_metric_compares_with(self, press, data, tmp_path):
        labelled = tmp_path / "labelled.npz"
        np.savez(labelled, **load_npz(data), labels=np.arange(40) % 10)
        manifest = verify(folder_of(press("--json", evaluation=labelled, max_drop="1")))
        assert manifest.metric.name == "accuracy"
        assert manifest.metric.before < 0.5

    def test_a_function_as_metric(self, press, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "my_metric.py").write_text(
            "def closeness(outputs, labels): return -abs(outputs - labels).mean()\n"
        )
        manifest = verify(folder_of(press("--json", "--metric", "my_metric:closeness")))
        assert manifest.metric.name == "my_metric:closeness"
        assert manifest.metric.before == 0

    def test_class_labels_are_kept(self, press, tmp_path):
        (tmp_path / "classes").write_text("cat\ndog\n")
        manifest = verify(folder_of(press("--json", "--class-labels", str(tmp_path / "classes"))))
        assert manifest.class_labels == ["cat", "dog"]


def folder_of(result):
    from pathlib import Path  # noqa: PLC0415 - one use

    return Path(json.loads(result[1])["bundle"])


def verify_folder(result):
    return verify(folder_of((0, json.dumps(result), "")), result["digest"])


class TestWrongInput:
    def test_no_such_model(self, press, tmp_path):
        assert_refused(press(model=tmp_path / "no.onnx"), tmp_path, "no.onnx does not exist")

    def test_training_without_torch(self, press, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "torch", None)
        assert_refused(press("--train", "60"), tmp_path, "--train needs torch", "pip install torch")

    def test_a_folder_as_model(self, press, tmp_path):
        assert_refused(press(model=tmp_path), tmp_path, "is a folder")

    @pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x08\x12" * 50])
    def test_a_corrupt_model(self, press, tmp_path, content):
        (tmp_path / "bad.onnx").write_bytes(content)
        assert_refused(press(model=tmp_path / "bad.onnx"), tmp_path, "bad.onnx")

    def test_half_a_model(self, press, model, tmp_path):
        (tmp_path / "half.onnx").write_bytes(model.read_bytes()[: model.stat().st_size // 2])
        assert_refused(press(model=tmp_path / "half.onnx"), tmp_path, "half.onnx")

    def test_an_operator_that_nobody_knows(self, press, make, tmp_path):
        text = "g (float[batch, 3, 16, 16] x) => (float[2] y) { y = my.own.Twist (x) }"
        onnx.save(make(text), tmp_path / "odd.onnx")
        assert_refused(press(model=tmp_path / "odd.onnx"), tmp_path, "cannot load", "standard operators")

    def test_a_graph_without_outputs(self, press, tmp_path):
        onnx.save(onnx.helper.make_model(onnx.helper.make_graph([], "g", [], [])), tmp_path / "none.onnx")
        assert_refused(press(model=tmp_path / "none.onnx"), tmp_path, "none.onnx", "no outputs")

    def test_external_data_that_is_missing(self, press, model, tmp_path):
        proto = onnx.load(model)
        (tmp_path / "elsewhere").mkdir()
        onnx.save(
            proto, tmp_path / "elsewhere/m.onnx", save_as_external_data=True, location="w", size_threshold=0
        )
        (tmp_path / "elsewhere/w").unlink()
        assert_refused(press(model=tmp_path / "elsewhere/m.onnx"), tmp_path, "external data")

    def test_data_without_the_models_input(self, press, tmp_path):
        np.savez(tmp_path / "d.npz", image=np.zeros((2, 3, 16, 16), np.float32))
        result = press(calibration=tmp_path / "d.npz")
        assert_refused(result, tmp_path, "d.npz", "input 'x'", "holds 'image'")

    def test_a_wrong_dtype(self, press, tmp_path):
        np.savez(tmp_path / "d.npz", x=np.zeros((2, 3, 16, 16)))
        assert_refused(press(evaluation=tmp_path / "d.npz"), tmp_path, "float32", "float64")

    def test_a_wrong_shape(self, press, tmp_path):
        np.savez(tmp_path / "d.npz", x=np.zeros((2, 1, 16, 16), np.float32))
        assert_refused(press(evaluation=tmp_path / "d.npz"), tmp_path, "[batch, 3, 16, 16]", "[1, 16, 16]")

    def test_labels_of_the_wrong_length(self, press, data, tmp_path):
        np.savez(tmp_path / "d.npz", **load_npz(data), labels=np.zeros(39))
        assert_refused(press(evaluation=tmp_path / "d.npz"), tmp_path, "'labels' has 39", "40")

    def test_labels_of_the_wrong_shape(self, press, data, tmp_path):
        np.savez(tmp_path / "d.npz", **load_npz(data), labels=np.zeros((40, 7)))
        assert_refused(
            press(evaluation=tmp_path / "d.npz"), tmp_path, "label", "one label for each prediction"
        )

    def test_no_samples(self, press, tmp_path):
        np.savez(tmp_path / "d.npz", x=np.zeros((0, 3, 16, 16), np.float32))
        assert_refused(press(evaluation=tmp_path / "d.npz"), tmp_path, "no samples")

    def test_a_metric_that_does_not_exist(self, press, tmp_path):
        assert_refused(press("--metric", "acuracy"), tmp_path, "'acuracy'", "accuracy, agreement")

    def test_a_metric_that_raises(self, press, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "broken_metric.py").write_text("def judge(outputs, labels):\n    return {}['score']\n")
        result = press("--metric", "broken_metric:judge")
        assert_refused(result, tmp_path, "broken_metric:judge raised KeyError")

    def test_a_metric_that_gives_no_number(self, press, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "wordy_metric.py").write_text("def judge(outputs, labels):\n    return 'good'\n")
        assert_refused(press("--metric", "wordy_metric:judge"), tmp_path, "wordy_metric:judge raised")

    def test_an_output_that_does_not_exist(self, press, tmp_path):
        assert_refused(press("--output", "z"), tmp_path, "no output 'z'", "it has y")

    @pytest.mark.parametrize("drop", ["-0.1", "nan", "inf", "little"])
    def test_a_bound_that_is_none(self, press, tmp_path, drop):
        assert_refused(press(max_drop=drop), tmp_path, "--max-drop", drop)

    @pytest.mark.parametrize(
        "option",
        [
            ["--objective", "beauty"],
            ["--seed", "-1"],
            ["--time-budget", "-1"],
            ["--train", "-1"],
            ["--confidence", "95"],
            ["--name", "No Name"],
        ],
    )
    def test_an_option_that_is_wrong(self, press, tmp_path, option):
        assert_refused(press(*option), tmp_path, option[1])

    def test_no_arguments(self, capsys):
        assert main([]) == 2
        assert capsys.readouterr().err.count("\n") == 1

    def test_an_output_folder_that_is_a_file(self, press, data, tmp_path):
        assert_refused(press(out=data), tmp_path, "data.npz")

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
    def test_an_output_folder_that_is_not_writable(self, press, tmp_path):
        (tmp_path / "locked").mkdir(mode=0o500)
        assert_refused(press(out=tmp_path / "locked"), tmp_path, "locked", "permissions")


class TestStrangeModels:
    @pytest.fixture
    def save(self, make, tmp_path):
        def build(text, **weights):
            onnx.save(make(text, **weights), tmp_path / "strange.onnx")
            return tmp_path / "strange.onnx"

        return build

    def test_a_graph_without_nodes(self, press, save):
        status, out, _ = press(
            "--json", model=save("g (float[b, 3, 16, 16] x) => (float[b, 3, 16, 16] x) { }")
        )
        assert status == 0
        verify(folder_of((status, out, "")))

    def test_weights_that_are_no_numbers(self, press, save, tmp_path):
        w = np.full((4, 3, 3, 3), np.nan, np.float32)
        result = press(
            "--metric",
            "cosine",
            model=save("g (float[b, 3, 16, 16] x) => (float[b, 4, p, q] y) { y = Conv (x, w) }", w=w),
        )
        assert_refused(result, tmp_path, "cosine", "not finite")

    def test_a_lone_sample(self, press, data, tmp_path):
        np.savez(tmp_path / "one.npz", x=load_npz(data)["x"][:1])
        folder = folder_of(press("--json", calibration=tmp_path / "one.npz", evaluation=tmp_path / "one.npz"))
        assert verify(folder).metric.samples == 1

    def test_outputs_that_never_change(self, press, save):
        text = "g (float[b, 3, 16, 16] x) => (float[b, 3, 16, 16] y) { z = Mul (x, w) y = Add (z, v) }"
        status, out, _ = press("--json", model=save(text, w=np.float32(0), v=np.float32(1)))
        assert status == 0
        assert json.loads(out)["drop"] == 0

    def test_a_branch_a_loop_and_integers(self, press, save, tmp_path):
        text = """g (int64[n] ids, bool flag) => (int64[n] y) {
            y = If (flag) <then_branch = t () => (int64[n] a) { a = Add (ids, one) },
                           else_branch = e () => (int64[n] b) {
                b = Loop (three, yes, ids) <body = l (int64 i, bool c, int64[n] s) => (bool d, int64[n] u) {
                    d = Identity (c) u = Add (s, one) }> }> }"""
        model = save(text, one=np.int64([1]), three=np.int64(3), yes=np.array(True))
        np.savez(tmp_path / "d.npz", ids=np.arange(30).reshape(6, 5), flag=np.arange(6) % 2 == 0)
        status, out, err = press(
            "--json", model=model, calibration=tmp_path / "d.npz", evaluation=tmp_path / "d.npz"
        )
        assert (status, err) == (0, "")
        assert json.loads(out)["drop"] == 0

    def test_external_data_is_taken_in(self, press, model, tmp_path):
        (tmp_path / "large").mkdir()
        path = tmp_path / "large/m.onnx"
        onnx.save(onnx.load(model), path, save_as_external_data=True, location="w", size_threshold=0)
        result = json.loads(press("--json", model=path)[1])
        verify_folder(result)
        assert result["size_before"] > 10_000

    def test_random_outputs_have_no_bound(self, press, save, tmp_path):
        text = (
            "g (float[b, 3, 16, 16] x) => (float[b, 3, 16, 16] y) { r = RandomNormalLike (x) y = Mul (x, r) }"
        )
        assert_refused(press(model=save(text), max_drop="0.01"), tmp_path, "agreement changes by", "random")


class TestMissingValues:
    def test_ranges_are_found_without_samples_that_hold_nan(self, press, data, tmp_path):
        x = load_npz(data)["x"].copy()
        x[3, 0, 0, 0] = np.nan
        x[5, 1, 2, 2] = np.inf
        path = tmp_path / "some.npz"
        np.savez(path, x=x)
        status, out, err = press(calibration=path, max_drop="1")
        assert status == 0, err
        assert "calibration samples hold NaN or infinity: ranges are found without them" in out
        assert "static int8" in out


class TestInterrupted:
    def start(self, model, data, out):
        # Many samples, so that the signal comes in the middle of the search.
        arguments = [str(model), "--calibration", str(data), "--evaluation", str(data), "--max-drop", "0.05"]
        process = subprocess.Popen(
            [sys.executable, "-m", "coldpress.optimize", *arguments, "-o", str(out)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        deadline = time.monotonic() + 60
        while not list(default_measurements().glob("*/original.result")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return process

    def test_ctrl_c_says_so_and_leaves_no_bundle(self, model, data, tmp_path):
        out = tmp_path / "out"
        process = self.start(model, data, out)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=30)
        assert process.returncode == 130
        assert stdout == ""
        assert stderr.startswith("optimize: error: interrupted")
        assert stderr.count("\n") == 1
        assert bundles(out) == []
        assert not list(out.rglob(".partial-*"))

    def test_ctrl_c_writes_the_best_so_far(self, press, monkeypatch, tmp_path):
        def interrupt(*_):
            raise KeyboardInterrupt

        monkeypatch.setattr("optimizer.candidates.Candidates.race", interrupt)
        status, out, err = press(max_drop="1")
        assert (status, out, err.count("\n")) == (130, "", 1)
        (folder,) = (path.parent for path in bundles(tmp_path / "out"))
        assert f"the best so far is in {folder}" in err
        assert verify(folder).passes

    def test_ctrl_c_writes_the_next_best_where_the_best_fails_verification(
        self, press, monkeypatch, tmp_path
    ):
        from optimizer import verify as verifying  # noqa: PLC0415

        compared, failed = verifying._compare, []

        def unlucky(job, session):
            found = compared(job, session)
            if failed:
                return found
            failed.append(session)
            return replace(found, scores=replace(found.scores, drop=1e9))

        def interrupt(*_):
            raise KeyboardInterrupt

        def as_fast(_original, sessions, *_):  # whatever else this machine has to do
            return {name: Latency(ms=1.0, original_ms=1.0, ratio=1.0, low=0.9, high=1.1) for name in sessions}

        monkeypatch.setattr("optimizer.candidates.latencies", as_fast)
        monkeypatch.setattr("optimizer.candidates.Candidates.race", interrupt)
        monkeypatch.setattr(verifying, "_compare", unlucky)
        status, _, err = press("--metric", "mae", "--objective", "size", max_drop="5")
        assert status == 130
        assert failed
        (folder,) = (path.parent for path in bundles(tmp_path / "out"))
        assert f"the best so far is in {folder}" in err
        assert verify(folder).passes

    def test_after_kill_9_the_same_command_goes_on(self, model, data, tmp_path, press):
        out = tmp_path / "out"
        process = self.start(model, data, out)
        process.kill()
        process.communicate(timeout=30)
        assert bundles(out) == []
        assert press("--json")[0] == 0
        assert len(bundles(out)) == 1
        assert not list(out.rglob(".partial-*"))


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 200 kB, where this is allowed."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_one_sentence(press, small_disk, tmp_path):
    result = press(out=small_disk / "out")
    assert_refused(result, tmp_path, "disk is full", "free some space")
    assert bundles(small_disk / "out") == []
    assert not list(small_disk.rglob(".partial-*"))
