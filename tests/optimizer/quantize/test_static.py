import numpy as np
import onnx_ir as ir
import pytest

from optimizer.quantize import QuantizeStatic
from optimizer.quantize.gptq import gptq
from optimizer.quantize.ranges import observe
from optimizer.quantize.static import observed_names

TEXT = """g (float[1, 8, 10, 10] x) => (float[?, ?, ?, ?] y) {
    a = Conv (x, v, b) r = Relu (a) d = Conv <group = 16> (r, depth) y = Conv (d, w) }"""


@pytest.fixture
def model(make, rng):
    shapes = {"v": (16, 8, 3, 3), "depth": (16, 1, 3, 3), "w": (4, 16, 3, 3), "b": (16,)}
    return make(TEXT, **{name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()})


@pytest.fixture
def samples(rng):
    return [{"x": rng.normal(size=(1, 8, 10, 10)).astype(np.float32)} for _ in range(8)]


def ranges_of(model, samples):
    names = observed_names(ir.from_proto(model).graph)
    ranges = observe(model.SerializeToString(), names, samples, seed=0)
    return {name: several[0] for name, several in ranges.items()}


@pytest.mark.parametrize("saturates", [True, False])
def test_the_answers_stay_close(model, samples, answers, saturates):
    step = QuantizeStatic(ranges_of(model, samples), saturates=saturates)
    changed = ir.to_proto(step(ir.from_proto(model)).model)
    for feeds in samples:
        before, after = answers(model, feeds)[0], answers(changed, feeds)[0]
        assert np.linalg.norm(after - before) / np.linalg.norm(before) < 0.05


def test_depthwise_convolutions_stay_float(model, samples):
    step = QuantizeStatic(ranges_of(model, samples), saturates=True)
    graph = step(ir.from_proto(model)).model.graph
    producers = [node.inputs[1].producer() for node in graph if node.op_type == "Conv"]
    assert [producer.op_type if producer else None for producer in producers] == [
        "DequantizeLinear",
        None,
        "DequantizeLinear",
    ]


def test_the_first_convolutions_can_be_kept(model, samples):
    step = QuantizeStatic(ranges_of(model, samples), saturates=True, keep_first=1)
    graph = step(ir.from_proto(model)).model.graph
    first = next(node for node in graph if node.op_type == "Conv")
    assert first.inputs[1].producer() is None


@pytest.mark.parametrize(
    "text",
    [
        "h = MatMul (x, w) a = Add (h, b) r = Relu (a) y = MatMul (r, v)",
        "h = Gemm (x, w, b) r = Relu (h) y = Gemm <transB = 1> (r, u)",
    ],
)
def test_products_in_a_row(make, rng, answers, text):
    """Whatever follows, they are multiplied as integers: ONNX Runtime itself takes some biases for Gemm's."""
    shapes = {"w": (64, 96), "b": (96,), "v": (96, 64), "u": (64, 96)}
    used = {
        name: rng.normal(size=shape).astype(np.float32)
        for name, shape in shapes.items()
        if f" {name}" in text
    }
    model = make(f"g (float[n, 64] x) => (float[n, 64] y) {{ {text} }}", **used)
    samples = [{"x": rng.normal(size=(5, 64)).astype(np.float32)} for _ in range(8)]
    changed = ir.to_proto(
        QuantizeStatic(ranges_of(model, samples), saturates=True)(ir.from_proto(model)).model
    )
    operators = [node.op_type for node in changed.graph.node]
    assert operators.count("MatMulIntegerToFloat") == operators.count("QuantizeLinear") == 2
    for feeds in samples:
        before, after = answers(model, feeds)[0], answers(changed, feeds)[0]
        assert np.linalg.norm(after - before) / np.linalg.norm(before) < 0.05


def test_other_readers_of_what_is_multiplied_read_it_as_it_is(make, rng, answers):
    text = "g (float[n, 64] x) => (float[n, 64] y) { h = Relu (x) m = MatMul (h, w) y = Add (m, h) }"
    model = make(text, w=rng.normal(size=(64, 64)).astype(np.float32))
    samples = [{"x": rng.normal(size=(5, 64)).astype(np.float32)} for _ in range(8)]
    changed = ir.to_proto(
        QuantizeStatic(ranges_of(model, samples), saturates=True)(ir.from_proto(model)).model
    )
    assert "DequantizeLinear" not in {node.op_type for node in changed.graph.node}


def test_without_ranges_nothing_is_quantised(model, apply):
    assert not apply(QuantizeStatic({}, saturates=True), model).modified


def test_only_the_named_layers_are_quantised(model, samples):
    step = QuantizeStatic(ranges_of(model, samples), saturates=True, layers={"y"})
    graph = step(ir.from_proto(model)).model.graph
    quantised = [node.inputs[1].producer() is not None for node in graph if node.op_type == "Conv"]
    assert quantised == [False, False, True]


@pytest.mark.parametrize("saturates", [True, False])
def test_gptq_lessens_the_error(make, rng, answers, saturates):
    text = "g (float[1, 16, 8, 8] x) => (float[?, ?, ?, ?] y) { y = Conv <pads = [1, 1, 1, 1]> (x, w, b) }"
    model = make(
        text, w=rng.normal(size=(32, 16, 3, 3)).astype(np.float32), b=rng.normal(size=32).astype(np.float32)
    )
    directions = rng.normal(size=(16, 3))
    samples = [
        {"x": np.einsum("ij,jhw->ihw", directions, rng.normal(size=(3, 8, 8)))[None].astype(np.float32)}
        for _ in range(8)
    ]
    ranges, rounding = ranges_of(model, samples), gptq(model.SerializeToString(), None, samples, seed=0)

    def error(known):
        step = QuantizeStatic(ranges, saturates=saturates, rounding=known)
        changed = ir.to_proto(step(ir.from_proto(model)).model)
        return sum(
            np.square(answers(changed, feeds)[0] - answers(model, feeds)[0]).sum() for feeds in samples
        )

    assert error(rounding) < 0.9 * error({})
