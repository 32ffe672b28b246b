import numpy as np
import onnx
import pytest

from optimizer.quantize import QuantizeDynamic

INTEGER = ["DynamicQuantizeLinear", "MatMulInteger", "Cast", "Mul", "Mul"]


@pytest.fixture
def weight(rng):
    return (rng.normal(size=(64, 96)) / 8).astype(np.float32)


@pytest.fixture
def x(rng):
    return rng.normal(size=(3, 5, 64)).astype(np.float32)


def relative_error(model, changed, answers, **feeds):
    before, after = answers(model, feeds)[0], answers(changed, feeds)[0]
    return np.linalg.norm(after - before) / np.linalg.norm(before)


def test_matmul(make, apply, answers, weight, x):
    model = make("g (float[a, b, 64] x) => (float[a, b, 96] y) { y = MatMul (x, w) }", w=weight)
    applied = apply(QuantizeDynamic(saturates=True), model)
    assert applied.operators == INTEGER
    assert relative_error(model, applied.model, answers, x=x) < 0.02


@pytest.mark.parametrize("transposed", [0, 1])
def test_gemm(make, apply, answers, weight, x, transposed):  # noqa: PLR0917 - fixtures
    text = f"g (float[a, 64] x) => (float[a, 96] y) {{ y = Gemm <transB = {transposed}> (x, w, b) }}"
    stored = np.ascontiguousarray(weight.T) if transposed else weight
    model = make(text, w=stored, b=np.ones(96, np.float32))
    applied = apply(QuantizeDynamic(saturates=True), model)
    assert applied.operators == [*INTEGER, "Add"]
    assert relative_error(model, applied.model, answers, x=x[0]) < 0.02


def test_an_input_is_quantised_once_for_all_its_readers(make, apply, weight):
    text = """g (float[a, 64] x) => (float[a, 96] y) { p = MatMul (x, w) q = MatMul (x, w) y = Add (p, q) }"""
    applied = apply(QuantizeDynamic(saturates=True), make(text, w=weight))
    assert applied.operators.count("DynamicQuantizeLinear") == 1
    assert sum(array.data_type == 3 for array in applied.model.graph.initializer if len(array.dims) == 2) == 1


@pytest.mark.parametrize(
    "text",
    [
        "g (float[a, 64] x) => (float[a, 96] y) { y = Gemm <alpha = 0.5> (x, w) }",
        "g (float[64, a] x) => (float[a, 96] y) { y = Gemm <transA = 1> (x, w) }",
        "g (float[a, 64] x, float[64, 96] w) => (float[a, 96] y) { y = MatMul (x, w) }",
        "g (float[96, a] x) => (float[64, a] y) { y = MatMul (w, x) }",
    ],
)
def test_what_is_no_product_with_constant_weights_stays(make, apply, weight, text):
    weights = {} if "float[64, 96] w" in text else {"w": weight}
    assert not apply(QuantizeDynamic(saturates=True), make(text, **weights)).modified


def test_weights_that_are_not_finite_stay(make, apply, weight):
    weight[3, 4] = np.nan
    model = make("g (float[a, 64] x) => (float[a, 96] y) { y = MatMul (x, w) }", w=weight)
    assert not apply(QuantizeDynamic(saturates=True), model).modified


def test_only_the_named_layers_are_quantised(make, apply, rng):
    text = "g (float[n, 64] x) => (float[n, 64] y) { h = MatMul (x, w) y = MatMul (h, v) }"
    weights = {name: rng.normal(size=(64, 64)).astype(np.float32) for name in ("w", "v")}
    operators = apply(QuantizeDynamic(saturates=True, layers={"y"}), make(text, **weights)).operators
    assert operators.count("MatMul") == operators.count("MatMulInteger") == 1
    assert operators[0] == "MatMul"


def test_a_layer_may_have_a_rounding_of_its_own(make, apply, weight):
    def half(rows, orders=(), *, saturates=True):
        return np.full(rows.shape, 7, np.int8), np.ones(len(rows), np.float32)

    text = "g (float[a, 64] x) => (float[a, 96] y, float[a, 96] z) { y = MatMul (x, w) z = MatMul (x, w) }"
    applied = apply(QuantizeDynamic(saturates=True, rounding={"z": half}), make(text, w=weight))
    stored = [onnx.numpy_helper.to_array(a) for a in applied.model.graph.initializer if a.data_type == 3]
    assert sorted((array == 7).all() for array in stored if array.ndim == 2) == [False, True]
