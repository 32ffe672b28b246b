import numpy as np
import onnx
import onnx_ir as ir
import pytest

from optimizer import normalise as module
from optimizer.normalise import equal_outputs, normalise
from optimizer.runtime import optimised_session, run

TEXT = """g (float[1, 3, 8, 8] x) => (float[?, ?, ?, ?] y) {
    w = Constant <value = float[4, 3, 1, 1] {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}> ()
    c = Conv (x, w) a = Add (c, three) i = Identity (a) p = Clip (i, low, six) m = Mul (c, p) y = Div (m, six)
    }"""


class BreaksTheModel(ir.passes.InPlacePass):
    """Claims to be lossless and is not."""

    def call(self, model):
        for node in tuple(model.graph):
            if node.op_type == "Mul":
                node.op_type = "Add"
                return ir.passes.PassResult(model, modified=True)
        return ir.passes.PassResult(model, modified=False)


class Raises(ir.passes.InPlacePass):
    """Trips over the model."""

    def call(self, model):
        raise RuntimeError("never seen such a graph")


@pytest.fixture
def case(make, rng):
    model = make(
        TEXT, opset=12, three=np.float32(3), low=np.float32(0), six=np.float32(6)
    ).SerializeToString()
    feeds = {"x": rng.normal(size=(1, 3, 8, 8)).astype(np.float32)}
    expected = run(optimised_session(model), feeds, ["y"])

    def same(data):
        return equal_outputs([expected], [run(optimised_session(data), feeds, ["y"])])

    return model, same


def operators(data):
    return [node.op_type for node in onnx.load_model_from_string(data).graph.node]


def test_what_an_old_exporter_wrote_becomes_two_nodes(case):
    data, applied = normalise(*case)
    assert operators(data) == ["Conv", "HardSwish"]
    assert {"RaiseOpset", "LiftConstantsToInitializers", "FuseHardSwish"} <= {step.name for step in applied}
    assert case[1](data)


@pytest.mark.parametrize("culprit", [BreaksTheModel, Raises])
def test_a_pass_that_does_not_fit_is_left_out_and_the_others_stay(case, monkeypatch, culprit):
    usual = module.pipeline
    monkeypatch.setattr(module, "pipeline", lambda: [usual()[0], culprit(), *usual()[1:]])
    data, applied = normalise(*case)
    assert operators(data) == ["Conv", "HardSwish"]
    assert culprit.__name__ not in {step.name for step in applied}


def test_equal_models_give_equal_bytes(case):
    assert normalise(*case)[0] == normalise(*case)[0]


@pytest.mark.parametrize(
    ("left", "right", "equal"),
    [
        (np.float32([1, 100]), np.float32([1, 100.01]), True),
        (np.float32([1, 100]), np.float32([1, 101]), False),
        (np.int64([1, 2]), np.int64([1, 2]), True),
        (np.int64([1, 2]), np.int64([1, 3]), False),
        (np.float32([np.nan, 1]), np.float32([np.nan, 1]), True),
        (np.float32([np.nan, 1]), np.float32([0, 1]), False),
        (np.float32([1]), np.float64([1]), False),
        (np.float32([1]), np.float32([[1]]), False),
    ],
)
def test_equal_up_to_rounding(left, right, equal):
    assert equal_outputs([{"y": left}], [{"y": right}]) is equal
