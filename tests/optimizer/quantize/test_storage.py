import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest

from optimizer.quantize.gptq import gptq
from optimizer.quantize.storage import StoreWeights
from optimizer.runtime import quiet_options

TEXT = """g (float[1, 8, 10, 10] x) => (float[1, 32, 64] y) {
    c = Conv <pads = [1, 1, 1, 1]> (x, v, b) r = Relu (c) f = Reshape (r, s) m = MatMul (f, w)
    t = Transpose <perm = [0, 1, 2]> (m) y = MatMul (t, u) }"""


@pytest.fixture
def model(make, rng):
    shapes = {"v": (32, 8, 3, 3), "b": (32,), "w": (100, 64), "u": (64, 64)}
    arrays = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return make(TEXT, s=np.array([1, 32, 100]), **arrays)


@pytest.fixture
def samples(rng):
    directions = rng.normal(size=(8, 3))
    return [
        {"x": np.einsum("ij,jhw->ihw", directions, rng.normal(size=(3, 10, 10)))[None].astype(np.float32)}
        for _ in range(6)
    ]


def error(model, changed, answers, samples):
    pairs = [(answers(model, feeds)[0], answers(changed, feeds)[0]) for feeds in samples]
    return np.mean([np.linalg.norm(after - before) / np.linalg.norm(before) for before, after in pairs])


@pytest.mark.parametrize(("half", "bound", "share"), [(False, 0.02, 0.3), (True, 0.001, 0.55)])
def test_it_is_small_and_close(model, samples, apply, answers, half, bound, share):  # noqa: PLR0917 - fixtures
    changed = apply(StoreWeights(half=half), model).model
    used = {name for node in changed.graph.node for name in node.input}
    kept = [onnx.numpy_helper.to_array(array) for array in changed.graph.initializer if array.name in used]
    before = sum(onnx.numpy_helper.to_array(array).nbytes for array in model.graph.initializer)
    assert sum(array.nbytes for array in kept) < share * before
    assert error(model, changed, answers, samples) < bound


@pytest.mark.parametrize("half", [False, True])
def test_onnx_runtime_computes_the_weights_when_it_loads(model, apply, tmp_path, half):
    changed = apply(StoreWeights(half=half), model).model
    options = quiet_options(ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED)
    options.optimized_model_filepath = str(tmp_path / "loaded.onnx")
    ort.InferenceSession(changed.SerializeToString(), options)
    loaded = onnx.load(tmp_path / "loaded.onnx")
    assert not {"Cast", "Mul", "DequantizeLinear"} & {node.op_type for node in loaded.graph.node}


def test_gptq_lessens_the_error(model, samples, apply, answers):
    rounding = gptq(model.SerializeToString(), None, samples, seed=0)
    plain, better = (apply(StoreWeights(rounding=known), model).model for known in ({}, rounding))
    assert error(model, better, answers, samples) < 0.7 * error(model, plain, answers, samples)


def test_only_the_named_layers(model, apply):
    changed = apply(StoreWeights(layers=["m"]), model).model
    assert [node.op_type for node in changed.graph.node].count("Cast") == 1


def test_depthwise_convolutions_are_stored_in_float16(make, apply, rng):
    text = "g (float[1, 64, 9, 9] x) => (float[?, ?, ?, ?] y) { y = Conv <group = 64> (x, w) }"
    model = make(text, w=rng.normal(size=(64, 1, 5, 5)).astype(np.float32))
    assert apply(StoreWeights(), model).operators == ["Cast", "Conv"]


def test_shared_weights_are_stored_once(make, apply, rng):
    text = "g (float[n, 64] x) => (float[n, 64] y) { h = MatMul (x, w) y = MatMul (h, w) }"
    model = make(text, w=rng.normal(size=(64, 64)).astype(np.float32))
    assert apply(StoreWeights(), model).operators == ["Cast", "Mul", "MatMul", "MatMul"]


@pytest.mark.parametrize(("largest", "half"), [(1e5, True), (np.nan, False)])
def test_what_cannot_be_stored_stays(make, apply, rng, largest, half):
    weight = rng.normal(size=(64, 64)).astype(np.float32)
    weight[0, 0] = largest
    model = make("g (float[n, 64] x) => (float[n, 64] y) { y = MatMul (x, w) }", w=weight)
    assert not apply(StoreWeights(half=half), model).modified


def test_a_layer_that_is_quantised_already_stays(make, rng):
    from optimizer.quantize import QuantizeDynamic  # noqa: PLC0415 - only this test

    text = "g (float[n, 64] x) => (float[n, 64] y) { y = MatMul (x, w) }"
    model = ir.from_proto(make(text, w=rng.normal(size=(64, 64)).astype(np.float32)))
    QuantizeDynamic(saturates=True)(model)
    assert not StoreWeights()(model).modified
