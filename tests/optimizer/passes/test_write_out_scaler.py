import numpy as np
import onnx
import onnx.parser
import pytest

from optimizer.normalise import apply_passes, pipeline
from optimizer.passes import WriteOutScaler

SCALER = "s = ai.onnx.ml.Scaler <scale = [{}], offset = [{}]> (x)"


def model(text, **weights):
    header = '<ir_version: 8, opset_import: ["": 17, "ai.onnx.ml": 1]>'
    proto = onnx.parser.parse_model(f"{header} g (float[a, 3] x) => (float[a, ?] y) {{ {text} }}")
    proto.graph.initializer.extend(
        onnx.numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()
    )
    return proto


@pytest.mark.parametrize(("scale", "offset"), [("2.0, 0.5, 1.0", "1.0, -1.0, 0.0"), ("2.0", "1.0")])
def test_it_is_a_product_and_a_sum(apply, rng, scale, offset):
    proto = model(SCALER.format(scale, offset) + " y = Relu (s)")
    x = rng.normal(size=(5, 3)).astype(np.float32)
    assert apply(WriteOutScaler(), proto, x=x).operators == ["Mul", "Add", "Relu"]


def test_both_go_into_the_weights_of_what_follows(answers, rng):
    text = (
        SCALER.format("2.0, 0.5, 1.0", "1.0, -1.0, 3.0")
        + " c = Cast <to = 1> (s) m = MatMul (c, w) y = Add (m, b)"
    )
    proto = model(text, w=rng.normal(size=(3, 4)), b=rng.normal(size=(1, 4)))
    data, _ = apply_passes(proto.SerializeToString(), pipeline())
    changed = onnx.load_model_from_string(data)
    assert [node.op_type for node in changed.graph.node] == ["MatMul", "Add"]
    x = rng.normal(size=(5, 3)).astype(np.float32)
    np.testing.assert_allclose(
        answers(changed, {"x": x})[0], answers(proto, {"x": x})[0], rtol=1e-4, atol=1e-4
    )
