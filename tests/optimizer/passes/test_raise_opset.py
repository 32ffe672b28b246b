import numpy as np
import onnx

from optimizer.passes import RaiseOpset


def test_an_old_model_is_raised(make, apply, rng):
    text = "g (float[2, 3, 8] x) => (float[2, 3] y) { y = ReduceMean <axes = [2], keepdims = 0> (x) }"
    applied = apply(RaiseOpset(), make(text, opset=9), x=rng.normal(size=(2, 3, 8)).astype(np.float32))
    assert applied.modified
    assert applied.model.opset_import[0].version == 17


def test_initializers_that_are_inputs_survive(make, apply):
    model = make("g (float[2] x, float[2] w) => (float[2] y) { y = Add (x, w) }", opset=9)
    model.ir_version = 3
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones(2, np.float32), "w"))
    applied = apply(RaiseOpset(), model, x=np.zeros(2, np.float32))
    assert [value.name for value in applied.model.graph.initializer] == ["w"]


def test_a_new_model_is_left_alone(make, apply):
    assert not apply(RaiseOpset(), make("g (float[2] x) => (float[2] y) { y = Relu (x) }", opset=21)).modified


def test_an_operator_that_onnx_does_not_know_survives(make, apply):
    model = make("g (float[2] x) => (float[2] y) { h = Relu (x) y = my.own.Twist (h) }", opset=12)
    applied = apply(RaiseOpset(), model)
    assert applied.operators == ["Relu", "Twist"]
