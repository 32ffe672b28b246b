import numpy as np
import onnx
import pytest

from optimizer.quantize.matmul_nbits import QuantizeMatMulNBits
from tests.optimizer import cpus

TEXT = "g (float[a, b, 96] x) => (float[a, b, 64] y) { y = MatMul (x, w) }"


@pytest.fixture
def weight(rng):
    return (rng.normal(size=(96, 64)) / 8).astype(np.float32)


@pytest.mark.parametrize(("bits", "allowed"), [(8, 0.01), (4, 0.12)])
def test_the_answers_stay_close(make, apply, answers, rng, weight, bits, allowed):  # noqa: PLR0917 - fixtures
    model = make(TEXT, w=weight)
    applied = apply(QuantizeMatMulNBits(bits=bits), model)
    assert applied.operators == ["MatMulNBits"]
    x = rng.normal(size=(3, 5, 96)).astype(np.float32)
    before, after = (answers(one, {"x": x})[0] for one in (model, applied.model))
    assert np.linalg.norm(after - before) < allowed * np.linalg.norm(before)


def test_an_outlier_costs_its_own_row_only(make, apply, answers, rng, weight):
    model = make(TEXT, w=weight)
    x = rng.normal(size=(1, 4, 96)).astype(np.float32)
    x[0, 0, 0] = 1000
    before, after = (answers(m, {"x": x})[0] for m in (model, apply(QuantizeMatMulNBits(), model).model))
    assert np.linalg.norm((after - before)[0, 1:]) < 0.01 * np.linalg.norm(before[0, 1:])


def test_only_the_named_layers(make, apply, weight):
    text = "g (float[a, 96] x) => (float[a, 64] y, float[a, 64] z) { y = MatMul (x, w) z = MatMul (x, w) }"
    assert apply(QuantizeMatMulNBits({"z"}), make(text, w=weight)).operators == ["MatMul", "MatMulNBits"]


def test_what_16_does_not_divide_stays(make, apply, rng):
    model = make(
        "g (float[a, 90] x) => (float[a, 64] y) { y = MatMul (x, w) }", w=np.ones((90, 64), np.float32)
    )
    assert not apply(QuantizeMatMulNBits(), model).modified


@pytest.mark.slow
@pytest.mark.parametrize("bits", [4, 8])
def test_the_extremes_do_not_saturate_without_vnni(tmp_path, bits):
    """All levels at either end, and all activations at the largest of either sign, which s8 holds exactly."""
    levels = np.zeros((64, 2, 128 * bits // 8), np.uint8)
    levels[:32] = 255
    inputs = {"w": levels, "s": np.ones(128, np.float32)}
    model = onnx.parser.parse_model(f"""<ir_version: 8, opset_import: ["": 17, "com.microsoft": 1]>
        g (float[m, 256] x) => (float[m, 64] y) {{
        y = com.microsoft.MatMulNBits <K = 256, N = 64, bits = {bits}, block_size = 128, accuracy_level = 4>
            (x, w, s)
        }}""")
    model.graph.initializer.extend(
        onnx.numpy_helper.from_array(array, name) for name, array in inputs.items()
    )
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    samples = [{"x": np.full((rows, 256), sign * 127, np.float32)} for rows in (1, 9) for sign in (1, -1)]
    here, there = (cpu.run(path, samples, tmp_path) for cpu in (cpus.native(), cpus.haswell()))
    for one, other in zip(here, there, strict=True):
        np.testing.assert_array_equal(one, other)
        assert np.abs(one).max() == 127 * 256 * 2 ** (bits - 1)
