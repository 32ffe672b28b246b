"""Graphs run by torch answer as ONNX Runtime does."""

import re

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from optimizer.quantize import QuantizeDynamic, QuantizeStatic
from optimizer.quantize.ranges import observe
from optimizer.quantize.static import observed_names
from optimizer.train.errors import UnsupportedOp
from optimizer.train.interpreter import (
    Interpreter,
    as_feeds,
    check_against_runtime,
    largest_difference,
)
from tests.optimizer.conftest import Make

SIGNATURE = "agraph (float[n, c, h, w] x) => (float[a, b, e, d] y)"
ONE_TO_ONE = [
    *("Abs", "Ceil", "Cos", "Erf", "Exp", "Floor", "HardSwish", "HardSigmoid", "HardSigmoid <alpha = 0.25>"),
    *("Identity", "LeakyRelu", "Elu", "Neg", "Reciprocal", "Relu", "Round", "Sigmoid", "Sign", "Sin"),
    *("Softplus", "Tanh", "Softmax", "Softmax <axis = 1>", "LogSoftmax <axis = 2>", "Transpose"),
    "Transpose <perm = [0, 2, 3, 1]>",
    *(
        "ReduceMean <axes = [2, 3]>",
        "ReduceMax <axes = [1]>",
        "ReduceMin <axes = [-1]>",
        "ReduceL2 <axes = [1]>",
    ),
    *("ReduceL1 <axes = [2]>", "ReduceSumSquare", "ReduceLogSumExp <axes = [3]>"),
    *("GlobalAveragePool", "GlobalMaxPool"),
    "MaxPool <kernel_shape = [3, 2], strides = [2, 2], pads = [1, 0, 1, 1]>",
    'MaxPool <kernel_shape = [2, 2], auto_pad = "SAME_UPPER">',
    "AveragePool <kernel_shape = [3, 3], strides = [1, 2], pads = [1, 1, 1, 1]>",
    "AveragePool <kernel_shape = [3, 3], pads = [1, 1, 0, 0], count_include_pad = 1>",
]
# With a second input: what follows the operator's name, and the second input.
RNG = np.random.default_rng(0)
INDICES = np.array([1, 0, -1])
BY_CONSTANT = [
    *(
        (name, RNG.normal(size=(4, 1, 7)).astype(np.float32))
        for name in ("Add", "Sub", "Mul", "Div", "Max", "Min")
    ),
    ("Pow", np.float32(2)),
    ("PRelu", np.full((4, 1, 1), 0.1, np.float32)),
    ("MatMul", RNG.normal(size=(7, 3)).astype(np.float32)),
    ("Gather <axis = 2>", INDICES),
    ("Gather <axis = -1>", np.array([[0, 1], [-2, 3]])),
    ("Expand", np.array([2, 4, 6, 7])),
    ("Tile", np.array([1, 2, 1, 3])),
    ("Reshape", np.array([0, 2, -1, 7])),
    ("ReduceSum <keepdims = 1>", np.array([1, -1])),
    ("Pad", np.array([0, 0, 1, 2, 0, 0, 0, 3])),
    ('Pad <mode = "reflect">', np.array([0, 0, 1, 2, 0, 0, 0, 3])),
    ('Pad <mode = "edge">', np.array([0, 0, 1, 2, 0, 0, 0, 3])),
    ("Conv <group = 2, pads = [1, 0, 0, 2]>", RNG.normal(size=(6, 2, 3, 3)).astype(np.float32)),
    ("Conv <strides = [2, 1], dilations = [1, 2]>", RNG.normal(size=(3, 4, 2, 3)).astype(np.float32)),
    ('Conv <auto_pad = "SAME_LOWER">', RNG.normal(size=(3, 4, 2, 3)).astype(np.float32)),
    ("ConvTranspose <strides = [2, 2]>", RNG.normal(size=(4, 3, 2, 2)).astype(np.float32)),
    (
        "ConvTranspose <pads = [1, 0, 0, 1], strides = [2, 1]>",
        RNG.normal(size=(4, 3, 3, 3)).astype(np.float32),
    ),
    ("CumSum", np.array(2)),
]
# The rest: whole graphs from x [1, 4, 6, 7] to y, with constants of these names.
CONSTANTS = {
    "one": np.array([1]),
    "zero": np.array([0]),
    "ones": np.array([1, 1, 1, 1]),
    "several": np.array([2, 0]),
    "starts": np.array([-1, 1]),
    "ends": np.array([-9999, 5]),
    "axes": np.array([3, 2]),
    "steps": np.array([-2, 3]),
    "low": np.float32(-0.5),
    "high": np.float32(0.25),
    "gain7": RNG.random(7, np.float32),
    "gain4": RNG.random(4, np.float32) + 1,
    "twice": np.array([1, 1, 2, 3], np.float32),
}
GRAPHS = [
    "s = Shape (x) i = Gather (s, several) f = Cast <to = 1> (i) t = ReduceMax <keepdims = 0> (f) "
    "q = Reshape (t, ones) y = Add (x, q)",
    "a, b = Split <axis = 1> (x) y = Concat <axis = 2> (b, a)",
    "y = Slice (x, starts, ends, axes, steps)",
    "s = Shape <start = 1, end = 3> (x) z = ConstantOfShape (s) u = Unsqueeze (z, one) v = Squeeze (u, one) "
    "w = Unsqueeze (v, zero) t = Transpose <perm = [0, 2, 1]> (w) r = ReduceMax (t) y = Add (x, r)",
    "g = Greater (x, low) n = Not (g) e = Equal (x, x) o = Or (g, n) l = LessOrEqual (x, high) "
    "a = And (o, l) k = And (a, e) y = Where (k, x, low)",
    "y = Clip (x, low, high)",
    "c = Constant <value_float = 0.1> () y = Mod <fmod = 1> (x, c)",
    "f = Flatten <axis = 2> (x) p = Gemm <alpha = 0.5, transB = 1> (f, f) "
    "s = Unsqueeze (p, zero) y = Unsqueeze (s, zero)",
    "r = ArgMax <axis = 1> (x) y = Cast <to = 1> (r)",
    "y = LayerNormalization <axis = -1, epsilon = 0.01> (x, gain7, gain7)",
    "y = BatchNormalization (x, gain4, gain4, gain4, gain4)",
    "y = InstanceNormalization (x, gain4, gain4)",
    'y = Resize <mode = "nearest", coordinate_transformation_mode = "asymmetric", nearest_mode = "floor"> '
    "(x, , twice)",
    'y = Resize <mode = "linear"> (x, , twice)',
]


def x() -> dict[str, np.ndarray]:
    return {"x": np.random.default_rng(1).normal(size=(1, 4, 6, 7)).astype(np.float32)}


def as_onnx(model: onnx.ModelProto) -> bytes:
    return model.SerializeToString()


@pytest.mark.parametrize("operator", ONE_TO_ONE)
def test_an_operator_of_one_input_answers_as_in_onnxruntime(make: Make, operator: str) -> None:
    model = as_onnx(make(f"{SIGNATURE} {{ y = {operator} (x) }}"))
    assert largest_difference(Interpreter(model, saturates=False), model, [x()]) < 1e-5


@pytest.mark.parametrize(("operator", "second"), BY_CONSTANT, ids=[name for name, _ in BY_CONSTANT])
def test_an_operator_with_a_constant_answers_as_in_onnxruntime(
    make: Make, operator: str, second: np.ndarray
) -> None:
    model = as_onnx(make(f"{SIGNATURE} {{ y = {operator} (x, c) }}", c=second))
    assert largest_difference(Interpreter(model, saturates=False), model, [x()]) < 1e-5


@pytest.mark.parametrize("body", GRAPHS)
def test_shapes_choices_and_norms_answer_as_in_onnxruntime(make: Make, body: str) -> None:
    used = {name: array for name, array in CONSTANTS.items() if re.search(rf"\b{name}\b", body)}
    model = as_onnx(make(f"{SIGNATURE} {{ {body} }}", **used))
    assert largest_difference(Interpreter(model, saturates=False), model, [x()]) < 1e-5


@pytest.mark.parametrize("directions", [1, 2])
def test_lstms_answer_as_in_onnxruntime(make: Make, rng: np.random.Generator, directions: int) -> None:
    text = "agraph (float[l, b, 6] x) => (float[l, d, b, h] y, float[d, b, h] last, float[d, b, h] cell)"
    way = ["forward", "bidirectional"][directions - 1]
    model = as_onnx(
        make(
            f'{text} {{ y, last, cell = LSTM <hidden_size = 5, direction = "{way}"> (x, w, r, b, , h, c) }}',
            w=rng.normal(size=(directions, 20, 6)).astype(np.float32),
            r=rng.normal(size=(directions, 20, 5)).astype(np.float32),
            b=rng.normal(size=(directions, 40)).astype(np.float32),
            h=rng.normal(size=(directions, 3, 5)).astype(np.float32),
            c=rng.normal(size=(directions, 3, 5)).astype(np.float32),
        )
    )
    interpreter = Interpreter(model, saturates=False)
    assert {"w", "r", "b"} <= set(interpreter.known)
    feeds = {"x": rng.normal(size=(7, 3, 6)).astype(np.float32)}
    assert largest_difference(interpreter, model, [feeds]) < 1e-5


def test_what_it_does_not_know_is_named_in_one_sentence(make: Make) -> None:
    model = as_onnx(make(f"{SIGNATURE} {{ s = Det (x) t = my.own.Thing (x) y = Add (s, t) }}"))
    with pytest.raises(UnsupportedOp, match=r"^it knows no Det, my.own.Thing\.$"):
        Interpreter(model, saturates=False)


def test_an_answer_that_differs_is_found_before_training(make: Make) -> None:
    model = as_onnx(make(f"{SIGNATURE} {{ y = Mul (x, c) }}", c=np.full(7, 2, np.float32)))
    other = as_onnx(make(f"{SIGNATURE} {{ y = Mul (x, c) }}", c=np.full(7, 2.1, np.float32)))
    check_against_runtime(Interpreter(model, saturates=False), model, [x()])
    with pytest.raises(UnsupportedOp, match=r"differ from ONNX Runtime's by 0\.0\d+ of the largest"):
        check_against_runtime(Interpreter(other, saturates=False), model, [x()])


def quantised(make: Make, rng: np.random.Generator, text: str, weight: np.ndarray) -> tuple[bytes, bytes]:
    """One layer, quantised statically and dynamically."""
    model = make(text, w=weight, b=rng.normal(size=weight.shape[0]).astype(np.float32))
    graph = ir.from_proto(model)
    names = observed_names(graph.graph)
    ranges = {name: several[0] for name, several in observe(as_onnx(model), names, [x()], 0).items()}
    static = QuantizeStatic(ranges, saturates=False)(ir.from_proto(model)).model
    dynamic = QuantizeDynamic(saturates=False)(ir.from_proto(model)).model
    return ir.to_proto(static).SerializeToString(), ir.to_proto(dynamic).SerializeToString()


def test_int8_convolutions_and_products_answer_as_in_onnxruntime(
    make: Make, rng: np.random.Generator
) -> None:
    convolution = rng.normal(size=(16, 4, 3, 3)).astype(np.float32)
    static, _ = quantised(make, rng, f"{SIGNATURE} {{ y = Conv (x, w, b) }}", convolution)
    interpreter = Interpreter(static, saturates=False)
    assert [one.kind for one in interpreter.known.values()].count("whole") == 1
    assert largest_difference(interpreter, static, [x()]) < 0.01  # a rounding that falls the other way

    text = "agraph (float[n, c, h, w] x) => (float[a, b, e, d] y) { y = MatMul (x, w) }"
    product = rng.normal(size=(7, 1024)).astype(np.float32)
    for model in quantised(make, rng, text, product):
        assert b"Integer" in model
        assert largest_difference(Interpreter(model, saturates=False), model, [x()]) < 1e-4


def test_samples_in_a_batch_answer_as_alone(make: Make, rng: np.random.Generator) -> None:
    text = "agraph (float[n, c, h, w] x) => (float[a, b, e, d] y) { y = MatMul (x, w) }"
    _, dynamic = quantised(make, rng, text, rng.normal(size=(7, 1024)).astype(np.float32))
    interpreter = Interpreter(dynamic, saturates=False)
    samples = [x(), {"x": 10 * x()["x"]}]
    alone = [interpreter(as_feeds([one]))["y"] for one in samples]
    interpreter.samples = 2
    together = interpreter(as_feeds(samples))["y"]
    np.testing.assert_allclose(together.detach(), np.concatenate([one.detach() for one in alone]), rtol=1e-5)
