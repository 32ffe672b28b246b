"""Without a residual block the value that goes around it passes; the layers behind make up for it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest

from optimizer.external import parse
from optimizer.normalise import normalise
from optimizer.prune.depth import Shallower
from optimizer.prune.groups import shapes_of
from optimizer.prune.residual import residual_blocks, without
from optimizer.runtime import Feeds, optimised_session
from tests.optimizer.conftest import Make

MINILM = Path(__file__).parents[3] / "build" / "minilm" / "model.onnx"
POST_NORM = """agraph (float[n, l, 16] x, float[n, l, l] mask) => (float[n, l, 4] y) {
    n0 = LayerNormalization (x, scale, offset) masked = Mul (mask, large)
    q = MatMul (n0, wq) k = MatMul (n0, wk) v = MatMul (n0, wv) t = Transpose <perm = [0, 2, 1]> (k)
    m = MatMul (q, t) mm = Add (m, masked) p = Softmax (mm) c = MatMul (p, v) o = MatMul (c, wo)
    ro = Add (o, n0) n1 = LayerNormalization (ro, scale, offset)
    h = MatMul (n1, w1) b = Add (h, b1) g = Relu (b) f = MatMul (g, w2)
    rf = Add (n1, f) n2 = LayerNormalization (rf, scale, offset) y = MatMul (n2, w3) }"""
PRE_NORM = """agraph (float[n, l, 16] x) => (float[n, l, 4] y) {
    x0 = MatMul (x, w0)
    n0 = LayerNormalization (x0, scale, offset) h0 = MatMul (n0, w1) g0 = Relu (h0) f0 = MatMul (g0, w2)
    x1 = Add (x0, f0)
    n1 = LayerNormalization (x1, scale, offset) h1 = MatMul (n1, w3) g1 = Relu (h1) f1 = MatMul (g1, w4)
    x2 = Add (f1, x1)
    n2 = LayerNormalization (x2, scale, offset) h2 = MatMul (n2, w5) g2 = Relu (h2) f2 = MatMul (g2, w6)
    x3 = Add (f2, x2)
    n3 = LayerNormalization (x3, scale, offset) y = MatMul (n3, w7) }"""
CONVOLUTIONS = """agraph (float[n, 3, 8, 8] x) => (float[n, 5] y) {
    c0 = Conv <pads = [1, 1, 1, 1]> (x, w0) r0 = Relu (c0)
    c1 = Conv <pads = [1, 1, 1, 1]> (r0, w1) r1 = Relu (c1) c2 = Conv <pads = [1, 1, 1, 1]> (r1, w2)
    s2 = Add (c2, r0) r2 = Relu (s2)
    c3 = Conv <strides = [2, 2]> (r2, w3) c4 = Conv <strides = [2, 2]> (r2, w4)
    s4 = Add (c3, c4) r4 = Relu (s4) f = Flatten (r4) y = Gemm (f, w5) }"""
SHAPES = {
    "post": {
        "scale": (16,), "offset": (16,), "wq": (16, 16), "wk": (16, 16), "wv": (16, 16), "wo": (16, 16),
        "large": (1,), "w1": (16, 32), "b1": (32,), "w2": (32, 16), "w3": (16, 4),
    },
    "pre": {
        "w0": (16, 16), "scale": (16,), "offset": (16,), "w1": (16, 32), "w2": (32, 16), "w3": (16, 32),
        "w4": (32, 16), "w5": (16, 32), "w6": (32, 16), "w7": (16, 4),
    },
    "convolutions": {
        "w0": (8, 3, 3, 3), "w1": (8, 8, 3, 3), "w2": (8, 8, 3, 3), "w3": (8, 8, 1, 1), "w4": (8, 8, 1, 1),
        "w5": (128, 5),
    },
}  # fmt: skip
TEXTS = {"post": POST_NORM, "pre": PRE_NORM, "convolutions": CONVOLUTIONS}
INPUTS = {
    "post": {"x": (1, 5, 16), "mask": (1, 5, 5)},
    "pre": {"x": (1, 5, 16)},
    "convolutions": {"x": (1, 3, 8, 8)},
}
BLOCKS = {
    "post": [("n0", "n1", {"q", "k", "v", "o"}), ("n1", "n2", {"h", "f"})],
    "pre": [("x0", "x1", {"h0", "f0"}), ("x1", "x2", {"h1", "f1"}), ("x2", "x3", {"h2", "f2"})],
    "convolutions": [("r0", "r2", {"c1", "c2"})],
}


@dataclass(frozen=True)
class Case:
    model: onnx.ModelProto
    samples: list[Feeds]

    @property
    def data(self) -> bytes:
        data: bytes = self.model.SerializeToString()
        return data

    def with_weights(self, **changed: np.ndarray) -> bytes:
        """The same graph with other numbers."""
        proto = onnx.load_model_from_string(self.data)
        for tensor in proto.graph.initializer:
            if tensor.name in changed:
                array = changed[tensor.name].astype(np.float32)
                tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
        data: bytes = proto.SerializeToString()
        return data


@pytest.fixture
def case(make: Make) -> Callable[..., Case]:
    """A graph with weights by chance, ``faint`` of which are small, and inputs."""

    def build(kind: str, count: int = 2, faint: str = "") -> Case:
        rng = np.random.default_rng(1)
        weights = {
            name: (rng.normal(size=size) / np.sqrt(np.prod(size[1:]))).astype(np.float32)
            for name, size in SHAPES[kind].items()
        }
        weights |= {name: 0.05 * weights[name] for name in faint.split()}
        if "scale" in weights:
            weights["scale"] = np.ones_like(weights["scale"])
        samples = [
            {name: rng.normal(size=size).astype(np.float32) for name, size in INPUTS[kind].items()}
            for _ in range(count)
        ]
        return Case(make(TEXTS[kind], **weights), samples)

    return build


def answer(model: bytes, feeds: Feeds) -> np.ndarray:
    return optimised_session(model).run(None, dict(feeds))[0]


@pytest.mark.parametrize("kind", list(TEXTS))
def test_blocks_are_what_residual_sums_go_around(case, kind):
    built = case(kind)
    shapes = shapes_of(built.data, built.samples[0])
    found = residual_blocks(parse(built.data).graph, shapes)
    assert [
        (block.start.name, block.end.name, {layer.name for layer in block.layers}) for block in found
    ] == BLOCKS[kind]


@pytest.mark.parametrize(
    ("kind", "gone", "silent"),
    [
        pytest.param("pre", ["x2"], ["w4"], id="one"),
        pytest.param("pre", ["x1", "x2"], ["w2", "w4"], id="two in a row"),
        pytest.param("pre", ["x1", "x3"], ["w2", "w6"], id="the first and the last"),
        pytest.param("convolutions", ["r2"], ["w2"], id="convolutions"),
    ],
)
def test_without_a_block_is_as_if_it_gave_nothing(case, kind, gone, silent):
    built = case(kind)
    shapes = shapes_of(built.data, built.samples[0])
    small = without(built.data, gone, shapes)
    onnx.checker.check_model(onnx.load_model_from_string(small))
    assert len(small) < len(built.data)
    sizes = SHAPES[kind]
    zeros = built.with_weights(**{name: np.zeros(sizes[name]) for name in silent})
    for feeds in built.samples:
        np.testing.assert_allclose(answer(small, feeds), answer(zeros, feeds), rtol=1e-4, atol=1e-5)
        assert not np.allclose(answer(small, feeds), answer(built.data, feeds), atol=1e-2)


def test_the_norm_behind_a_sum_goes_too(case):
    built = case("post")
    shapes = shapes_of(built.data, built.samples[0])
    proto = onnx.load_model_from_string(without(built.data, ["n1", "n2"], shapes))
    assert [node.op_type for node in proto.graph.node] == ["LayerNormalization", "MatMul"]
    # What stands in for a block is what the block gave, to whoever compares the two graphs.
    assert proto.graph.node[0].output[0] == "n2"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("f = MatMul (x, v) g = MatMul (x, w) y = Add (f, g)", id="two branches"),
        pytest.param("f = MatMul (x, w) g = Add (f, b) y = Relu (g)", id="a bias"),
        pytest.param("g = MatMul (x, w) t = Tanh (g) s = Add (g, t) y = Relu (s)", id="no layer around it"),
        pytest.param(
            "g = ReduceSum <keepdims = 1> (x, last) f = MatMul (g, u) y = Add (f, g)",
            id="another shape",
        ),
        pytest.param("f = MatMul (x, w) y = Add (f, x)", id="from an input to an output"),
    ],
)
def test_what_is_no_block(make, rng, text):
    weights = {"w": rng.normal(size=(8, 8)), "v": rng.normal(size=(8, 8)), "u": rng.normal(size=(1, 8))}
    used = {name: array.astype(np.float32) for name, array in weights.items() if f"{name})" in text}
    if "b)" in text:
        used["b"] = np.ones(8, np.float32)
    if "last" in text:
        used["last"] = np.array([-1])
    data = make(f"g (float[n, 8] x) => (float[n, 8] y) {{ {text} }}", **used).SerializeToString()
    shapes = shapes_of(data, {"x": np.ones((2, 8), np.float32)})
    assert not residual_blocks(parse(data).graph, shapes)


def test_what_costs_least_goes_first(case):
    built = case("pre", 64, faint="w3 w5 w6")
    shallower = Shallower(built.data, built.samples[:48])
    gone = [{"h0", "h1", "h2"} - names_of(shallower.without(count)) for count in (1, 2)]
    assert gone == [{"h2"}, {"h1", "h2"}]


def test_the_layers_behind_make_up_for_it(case):
    built = case("pre", 160, faint="w2")
    shallower = Shallower(built.data, built.samples[:128])
    refitted = shallower.refitted(1)
    careless = shallower.without(1)
    assert Shallower(built.data, built.samples[:128]).refitted(1) == refitted  # the same run for run

    def error(model: bytes) -> float:
        held = built.samples[128:]
        return float(
            np.mean([np.square(answer(model, one) - answer(built.data, one)).mean() for one in held])
        )

    assert 0 < error(refitted) < 0.8 * error(careless)


@pytest.mark.skipif(not MINILM.exists(), reason="examples/minilm/export.sh was not run")
def test_minilm_has_two_blocks_in_each_of_six_layers():
    data, _ = normalise(MINILM.read_bytes(), lambda _: True)
    ids = np.arange(1000, 1012)[None]
    feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    shapes = shapes_of(data, feeds)
    blocks = residual_blocks(parse(data).graph, shapes)
    assert [len(block.layers) for block in blocks] == [2, 2] * 6  # keys, queries and values are one by now
    whole = answer(data, feeds)
    cosines = [
        float((answer(without(data, [one.name for one in blocks[:gone]], shapes), feeds) * whole).sum())
        for gone in (0, 12)
    ]
    assert cosines[0] > 0.999
    assert cosines[1] < 0.6


def names_of(model: bytes) -> set[str]:
    return {name for node in onnx.load_model_from_string(model).graph.node for name in node.output}
