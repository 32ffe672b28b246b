from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import helper

from bundle.manifest import Signature, TensorSpec
from handlers.inference.dataplane import Model
from handlers.inference.errors import InitError, RequestError
from handlers.inference.ort import OrtError, Session
from handlers.inference.tensor import Tensor
from tests.handlers.models import MODELS, NAMES, build_model


def model_of(proto: onnx.ModelProto, **dtypes: str) -> Model:
    """The model behind a signature that is the graph's own, but for ``dtypes``."""

    def spec(value: onnx.ValueInfoProto) -> TensorSpec:
        tensor = value.type.tensor_type
        shape = [axis.dim_param or axis.dim_value for axis in tensor.shape.dim]
        return TensorSpec(name=value.name, dtype=dtypes.get(value.name, NAMES[tensor.elem_type]), shape=shape)

    signature = Signature(
        inputs=[spec(value) for value in proto.graph.input],
        outputs=[spec(value) for value in proto.graph.output],
    )
    manifest = SimpleNamespace(signature=signature)
    return Model(manifest, Session(proto.SerializeToString()), name="toy", version="1")


def floats(*values: float, shape: tuple[int, ...] | None = None) -> Tensor:
    data = np.float32(values)
    return Tensor("float32", data.shape if shape is None else shape, memoryview(data.tobytes()))


@pytest.fixture(scope="module")
def total() -> Model:
    return model_of(MODELS["two inputs"]())


def test_outputs_by_name(total):
    inputs = {"b": floats(3, 4, shape=(1, 2)), "a": floats(1, 2, shape=(1, 2))}
    answer = total.infer(inputs)
    assert list(answer) == ["total", "shape"]
    assert bytes(answer["total"].data) == np.float32([4, 6]).tobytes()
    assert list(total.infer(inputs, ["shape"])) == ["shape"]
    assert list(total.infer(inputs, ["shape", "total", "shape"])) == ["shape", "total"]


ROW = floats(1, 2, shape=(1, 2))


@pytest.mark.parametrize(
    ("inputs", "outputs", "sentence"),
    [
        ({"a": ROW}, None, "input 'b' is missing: the model takes 'a', 'b'."),
        ({"a": ROW, "b": ROW, "c": ROW}, None, "the model has no input 'c': it takes 'a', 'b'."),
        ({"a": ROW, "b": ROW}, ["x"], "the model has no output 'x': it gives 'total', 'shape'."),
        ({"a": ROW, "b": ROW}, [], "the request asks for no output: the model gives 'total', 'shape'."),
        (
            {"a": ROW, "b": Tensor("int32", (1, 2), ROW.data)},
            None,
            "input 'b' has dtype int32, but the model takes float32.",
        ),
        (
            {"a": ROW, "b": floats(1, 2)},
            None,
            "input 'b' has shape [2], but the model takes [batch, 2].",
        ),
        (
            {"a": ROW, "b": floats(1, 2, 3, 4, shape=(2, 2))},
            None,
            "axis 'batch' is 2 in input 'b' but 1 in input 'a': axes of one name must be equal.",
        ),
    ],
)
def test_requests_that_are_refused(total, inputs, outputs, sentence):
    with pytest.raises(RequestError) as caught:
        total.infer(inputs, outputs)
    assert str(caught.value) == sentence


def reshape(length: int | str) -> onnx.ModelProto:
    """y = x in the shape that is asked for, which must be that of three values."""
    return build_model(
        [helper.make_node("Reshape", ["x", "shape"], ["y"])],
        {"x": ("float32", [length]), "shape": ("int64", [1])},
        {"y": ("float32", [length])},
    )


def test_whose_fault_a_failing_run_is():
    """Where an axis varies, inputs that fit the signature may not fit the graph; else it is the server's."""
    inputs = {"x": floats(1, 2, 3), "shape": Tensor("int64", (1,), memoryview(np.int64([5]).tobytes()))}
    with pytest.raises(RequestError, match=r"^the model cannot run on these inputs: .*\.$"):
        model_of(reshape("n")).infer(inputs)
    with pytest.raises(OrtError):
        model_of(reshape(3)).infer(inputs)


@pytest.mark.parametrize(
    ("make", "dtypes", "words"),
    [
        (MODELS["affine"], {"x": "float64"}, "says that 'x' is float64, but in the model it is float32"),
        (MODELS["affine"], {"y": "int64"}, "says that 'y' is int64, but in the model it is float32"),
    ],
)
def test_a_manifest_that_is_not_the_graphs(make: Callable[[], onnx.ModelProto], dtypes, words):
    with pytest.raises(InitError, match=words):
        model_of(make(), **dtypes)
