import numpy as np
import onnx
import onnxruntime as ort
import pytest

from optimizer.quantize.clusters import ClusterWeights
from optimizer.runtime import quiet_options

TEXT = """g (float[n, 8, 6, 6] x) => (float[n, 64] y) {
    c = Conv (x, v) r = Relu (c) f = Flatten (r) y = MatMul (f, w) }"""
SHAPES = {"v": (32, 8, 3, 3), "w": (512, 64)}


@pytest.fixture
def feeds(rng):
    return {"x": rng.normal(size=(4, 8, 6, 6)).astype(np.float32)}


def arrays(rng, values=None):
    return {
        name: (rng.normal(size=shape) if values is None else rng.choice(values, shape)).astype(np.float32)
        for name, shape in SHAPES.items()
    }


def size(model):
    used = {name for node in model.graph.node for name in node.input}
    return sum(onnx.numpy_helper.to_array(one).nbytes for one in model.graph.initializer if one.name in used)


def test_clustered_weights_stay_to_the_bit(make, apply, answers, rng, feeds):
    model = make(TEXT, **arrays(rng, [-0.3, 0.0, 0.1, 0.7]))
    after = apply(ClusterWeights(), model).model
    np.testing.assert_array_equal(answers(after, feeds)[0], answers(model, feeds)[0])
    assert size(after) < size(model) / 7.5


def test_others_come_close(make, apply, answers, rng, feeds):
    model = make(TEXT, **arrays(rng))
    after = apply(ClusterWeights(), model).model
    before, now = answers(model, feeds)[0], answers(after, feeds)[0]
    assert np.linalg.norm(now - before) / np.linalg.norm(before) < 0.15
    assert size(after) < size(model) / 7


def test_zeros_of_pruned_weights_stay_zero(make, apply, rng):
    weights = arrays(rng)
    for array in weights.values():
        array[rng.random(array.shape) < 0.8] = 0
    after = apply(ClusterWeights(), make(TEXT, **weights)).model
    values = [
        onnx.numpy_helper.to_array(one) for one in after.graph.initializer if one.name.endswith("_values")
    ]
    assert len(values) == 2
    assert all(0 in array for array in values)


def test_onnx_runtime_computes_the_weights_when_it_loads(make, apply, rng, tmp_path):
    after = apply(ClusterWeights(), make(TEXT, **arrays(rng))).model
    options = quiet_options(ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED)
    options.optimized_model_filepath = str(tmp_path / "loaded.onnx")
    ort.InferenceSession(after.SerializeToString(), options)
    operators = {node.op_type for node in onnx.load(tmp_path / "loaded.onnx").graph.node}
    assert not {"BitShift", "Cast", "Concat", "Gather", "Mod", "Mul"} & operators


def test_an_odd_number_of_weights_stays(make, apply, rng):
    text = "g (float[n, 33] x) => (float[n, 33] y) { y = MatMul (x, w) }"
    assert not apply(ClusterWeights(), make(text, w=rng.normal(size=(33, 33)).astype(np.float32))).modified
