"""What is cut is as if it had been masked; what is left makes up for it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from optimizer.external import parse
from optimizer.prune.cut import cut
from optimizer.prune.groups import Group, groups_of, shapes_of
from optimizer.prune.prune import Pruner
from optimizer.runtime import Feeds, optimised_session
from tests.optimizer.conftest import Make

PLAIN = """agraph (float[n, 24] x) => (float[n, 5] y) {
    a = Gemm <transB = 1> (x, w1, b1) b = Relu (a) c = MatMul (b, w2) d = Add (c, b2)
    e = Tanh (d) y = MatMul (e, w3) }"""
PLAIN_WEIGHTS = {"w1": (32, 24), "b1": (32,), "w2": (32, 16), "b2": (16,), "w3": (16, 5)}

CONVOLUTIONS = """agraph (float[n, 3, 8, 8] x) => (float[n, 5] y) {
    a = Conv <pads = [1, 1, 1, 1]> (x, w1, b1) r = Relu (a)
    d = Conv <pads = [1, 1, 1, 1], group = 16> (r, w2, b2) h = HardSwish (d)
    c = Conv (h, w3, b3) s = Add (c, r) m = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (s)
    g = GlobalAveragePool (m) q = Conv (g, w4, b4) t = Relu (q) u = Conv (t, w5, b5) v = Sigmoid (u)
    z = Mul (m, v) f = Flatten (z) y = Gemm (f, w6, b6) }"""
CONVOLUTION_WEIGHTS = {
    "w1": (16, 3, 3, 3), "b1": (16,), "w2": (16, 1, 3, 3), "b2": (16,), "w3": (16, 16, 1, 1), "b3": (16,),
    "w4": (8, 16, 1, 1), "b4": (8,), "w5": (16, 8, 1, 1), "b5": (16,), "w6": (256, 5), "b6": (5,),
}  # fmt: skip

ATTENTION = """agraph (float[n, l, 24] x) => (float[n, l, 24] y)
    <int64[4] split = {0, 0, 4, 6}, int64[3] whole = {0, 0, 24}> {
    q = MatMul (x, wq) k = MatMul (x, wk) v0 = MatMul (x, wv) v = Add (v0, bv)
    q4 = Reshape (q, split) k4 = Reshape (k, split) v4 = Reshape (v, split)
    qt = Transpose <perm = [0, 2, 1, 3]> (q4) kt = Transpose <perm = [0, 2, 3, 1]> (k4)
    vt = Transpose <perm = [0, 2, 1, 3]> (v4)
    s = MatMul (qt, kt) p = Softmax <axis = -1> (s) m = MatMul (p, vt) t = Transpose <perm = [0, 2, 1, 3]> (m)
    o = Reshape (t, whole) c = MatMul (o, wo) r = Add (c, x)
    n1 = LayerNormalization <axis = -1> (r, scale, offset)
    h0 = MatMul (n1, w1) h1 = Add (h0, b1) h2 = Relu (h1) h3 = MatMul (h2, w2) y = Add (h3, n1) }"""
ATTENTION_WEIGHTS = {
    "wq": (24, 24), "wk": (24, 24), "wv": (24, 24), "bv": (24,), "wo": (24, 24),
    "scale": (24,), "offset": (24,), "w1": (24, 48), "b1": (48,), "w2": (48, 24),
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    model: bytes
    samples: list[Feeds]

    @property
    def groups(self) -> list[Group]:
        return groups_of(parse(self.model).graph, shapes_of(self.model, self.samples[0]))


@pytest.fixture
def case(make: Make) -> Callable[..., Case]:
    """A graph with weights by chance, and inputs of few dimensions, as real ones are."""

    def build(text: str, shapes: dict[str, tuple[int, ...]], shape: tuple[int, ...], count: int = 2) -> Case:
        rng = np.random.default_rng(1)
        weights = {
            name: (rng.normal(size=size) / np.sqrt(np.prod(size[1:]) if len(size) > 1 else 4)).astype(
                np.float32
            )
            for name, size in shapes.items()
        }
        model = make(text, opset=17, **weights).SerializeToString()
        mixed = rng.normal(size=(6, int(np.prod(shape))))
        samples = [
            {"x": (rng.normal(size=(1, 6)) @ mixed).reshape(1, *shape).astype(np.float32)}
            for _ in range(count)
        ]
        return Case(model, samples)

    return build


KINDS = [
    pytest.param(PLAIN, PLAIN_WEIGHTS, (24,), [32, 16], id="neurons"),
    pytest.param(CONVOLUTIONS, CONVOLUTION_WEIGHTS, (3, 8, 8), [16, 8], id="channels"),
    pytest.param(ATTENTION, ATTENTION_WEIGHTS, (7, 24), [4, 48], id="heads"),
]


def answer(model: bytes, feeds: Feeds) -> np.ndarray:
    return optimised_session(model).run(None, dict(feeds))[0]


def masked(model: bytes, names: dict[str, np.ndarray]) -> bytes:
    """Weights by name, multiplied by masks."""
    proto = onnx.load_model_from_string(model)
    for tensor in proto.graph.initializer:
        if tensor.name in names:
            tensor.CopyFrom(
                onnx.numpy_helper.from_array(
                    onnx.numpy_helper.to_array(tensor) * names[tensor.name], tensor.name
                )
            )
    return proto.SerializeToString()


@pytest.mark.parametrize(("text", "shapes", "shape", "counts"), KINDS)
def test_cutting_is_masking(case, text, shapes, shape, counts):
    built = case(text, shapes, shape)
    graph = parse(built.model)
    groups = groups_of(graph.graph, shapes_of(built.model, built.samples[0]))
    assert [group.count for group in groups] == counts
    rng, masks, chosen = np.random.default_rng(2), {}, []
    for group in groups:
        kept = rng.permutation(group.count) < group.count // 2
        chosen.append((group, kept))
        for layer in group.readers:
            rows = layer.stored(np.broadcast_to(kept[group.read(layer)], layer.rows.shape).astype(np.float32))
            name = str(layer.node.inputs[1].name)
            masks[name] = masks.get(name, 1) * rows
    cut(graph.graph, chosen)
    small = ir.to_proto(graph).SerializeToString()
    assert len(small) < 0.8 * len(built.model)
    whole = masked(built.model, masks)
    assert not np.allclose(answer(built.model, built.samples[0]), answer(whole, built.samples[0]), atol=1e-3)
    for feeds in built.samples:
        np.testing.assert_allclose(answer(small, feeds), answer(whole, feeds), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("text", "shapes", "shape", "counts"), KINDS)
def test_what_is_left_makes_up_for_it(case, text, shapes, shape, counts):
    built = case(text, shapes, shape, 96)
    pruner = Pruner(built.model, built.samples[:64], seed=0)
    pruner.order({})
    pruned = pruner.pruned(0.3)
    again = Pruner(built.model, built.samples[:64], seed=0)
    again.order({})
    assert again.pruned(0.3) == pruned  # the same run for run

    graph = parse(built.model)
    plain = [
        (group, np.arange(group.count) < 0.7 * group.count) for group in groups_of(graph.graph, pruner.shapes)
    ]
    cut(graph.graph, plain)
    careless = ir.to_proto(graph).SerializeToString()

    def error(model: bytes) -> float:
        held = built.samples[64:]
        return float(
            np.mean([np.square(answer(model, one) - answer(built.model, one)).mean() for one in held])
        )

    assert len(pruned) < len(built.model)
    assert error(pruned) < 0.7 * error(careless)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("g (float[n, 8] x) => (float[n, 16] y) { y = MatMul (x, w) }", id="its own output"),
        pytest.param(
            "g (float[n, 8] x) => (float[n, 4] y) { a = MatMul (x, w) b = Softmax (a) y = MatMul (b, v) }",
            id="softmax",
        ),
        pytest.param(
            "g (float[n, 8] x) => (float[n, 4] y) {"
            " a = MatMul (x, w) b = CumSum (a, one) y = MatMul (b, v) }",
            id="an operator that is not known",
        ),
        pytest.param(
            "g (float[n, 8] x, float[n, 16] z) => (float[n, 4] y) {"
            " a = MatMul (x, w) b = Add (a, z) y = MatMul (b, v) }",
            id="added to an input",
        ),
    ],
)
def test_what_cannot_go_alone_stays(make, rng, text):
    weights = {"w": rng.normal(size=(8, 16)), "v": rng.normal(size=(16, 4))}
    used = {name: array.astype(np.float32) for name, array in weights.items() if f"{name})" in text}
    more = {"one": np.array(1, np.int64)} if "CumSum" in text else {}
    model = make(text, **used, **more).SerializeToString()
    feeds = {"x": np.ones((1, 8), np.float32)}
    if "float[n, 16] z" in text:
        feeds["z"] = np.ones((1, 16), np.float32)
    assert not groups_of(parse(model).graph, shapes_of(model, feeds))


def test_neurons_go_before_heads(case):
    built = case(ATTENTION, ATTENTION_WEIGHTS, (7, 24), 24)
    pruner = Pruner(built.model, built.samples, seed=0)
    pruner.order({})
    pruned = onnx.load_model_from_string(pruner.pruned(0.5))
    lengths = {tuple(tensor.dims) for tensor in pruned.graph.initializer}
    assert (24, 24) in lengths
    assert (24, 48) not in lengths


def test_equal_constants_tie_nothing_together(make, rng):
    text = """g (float[n, 8] x) => (float[n, 4] y) {
        a = MatMul (x, w) b = Add (a, same) c = Relu (b) d = MatMul (c, v) e = Add (d, same)
        f = Relu (e) y = MatMul (f, u) }"""
    shapes = {"w": (8, 16), "v": (16, 16), "u": (16, 4), "same": (16,)}
    model = make(text, **{name: rng.normal(size=size).astype(np.float32) for name, size in shapes.items()})
    data = model.SerializeToString()
    assert len(groups_of(parse(data).graph, shapes_of(data, {"x": np.ones((1, 8), np.float32)}))) == 2
