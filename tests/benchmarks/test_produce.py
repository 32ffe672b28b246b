"""Running a tool: its error, its time limit."""

import sys

import onnx
import onnx.parser
import pytest

from benchmarks.produce import for_tools, run_tool


@pytest.fixture
def model(tmp_path):
    def write(opset):
        text = "agraph (float[n] x) => (float[n] y) { c = Constant <value_float = 2.0> () y = Mul (x, c) }"
        header = f'<ir_version: 7, opset_import: ["" : {opset}]>'
        onnx.save(onnx.parser.parse_model(f"{header} {text}"), tmp_path / "model.onnx")
        return tmp_path / "model.onnx"

    return write


def test_other_tools_get_an_old_model_at_a_newer_opset(model):
    given = onnx.load(for_tools(model(12)))
    assert given.opset_import[0].version == 17
    assert [node.op_type for node in given.graph.node] == ["Mul"]


def test_other_tools_get_a_newer_model_as_it_is(model):
    path = model(13)
    assert for_tools(path) == path


def test_what_ends_well_has_no_error(tmp_path):
    assert run_tool([sys.executable, "-c", "print('done')"], tmp_path / "log", 30)[0] == ""


def test_the_error_is_the_exception(tmp_path):
    script = "import atexit; atexit.register(print, 'bye'); raise ValueError('odd shape')"
    assert run_tool([sys.executable, "-c", script], tmp_path / "log", 30)[0] == "ValueError: odd shape"


def test_a_long_error_is_shortened(tmp_path):
    error = run_tool([sys.executable, "-c", "raise ValueError('x' * 999)"], tmp_path / "log", 30)[0]
    assert len(error) == 200
    assert error.endswith("x…")


def test_the_time_is_limited(tmp_path):
    error, seconds = run_tool([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path / "log", 0.5)
    assert error == "not finished after 0.5 s"
    assert seconds < 20
