"""`optimize` on models of every kind: a valid bundle within the bound, or one sentence. Never a traceback."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from bundle.arrays import golden_samples, load_npz
from bundle.folder import verify
from coldpress.optimize import main
from optimizer.runtime import run, serving_session

SAMPLES = 8
BOUND = 0.05
NEWEST = 28  # of the opsets that this ONNX Runtime knows

MLP = "g (float[b, 64] x) => (float[b, 8] y) { h = MatMul (x, w) a = Relu (h) y = MatMul (a, v) }"
CNN = """g (float[b, 3, 8, 8] x) => (float[b, 5] y) {
    c = Conv <pads = [1, 1, 1, 1]> (x, k) n = BatchNormalization (c, one, one, one, one) r = Relu (n)
    p = MaxPool <kernel_shape = [8, 8]> (r) f = Flatten (p) z = Gemm (f, m, d) y = Softmax <axis = 1> (z) }"""


def floats(*shape, dtype=np.float32):
    return np.random.default_rng(0).normal(size=shape).astype(dtype)


def model(text, opset=17, ir_version=8, domains="", **weights):
    head = f'<ir_version: {ir_version}, opset_import: ["": {opset}{domains}]>'
    proto = onnx.parser.parse_model(f"{head} {text}")
    proto.graph.initializer.extend(
        onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()
    )
    return proto


def mlp(dtype=np.float32, word="float", **more):
    weights = {"w": floats(64, 128, dtype=dtype), "v": floats(128, 8, dtype=dtype)}
    return model(MLP.replace("float", word), **{**weights, **more})


def cnn(opset, ir_version):
    weights = {
        "k": floats(32, 3, 3, 3), "one": np.ones(32, np.float32), "m": floats(32, 5), "d": floats(5)
    }  # fmt: skip
    declared = ", float[32, 3, 3, 3] k, float[32] one, float[32, 5] m, float[5] d) =>"
    text = CNN.replace(") =>", declared, 1) if ir_version < 4 else CNN
    return model(text, opset, ir_version, **weights)


def sparse():
    proto = model("g (float[b, 64] x) => (float[b, 8] y) { y = MatMul (x, w) }")
    values = onnx.numpy_helper.from_array(floats(20), "w")
    places = onnx.numpy_helper.from_array(np.arange(0, 500, 25), "places")
    proto.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [64, 8]))
    return proto


def functions():
    leaky = helper.make_node("LeakyRelu", ["m"], ["o"])
    slope = leaky.attribute.add()
    slope.name, slope.ref_attr_name, slope.type = "alpha", "slope", onnx.AttributeProto.FLOAT
    dense = helper.make_function(
        "my", "Dense", ["a", "b"], ["o"],
        [helper.make_node("MatMul", ["a", "b"], ["m"]), leaky], [helper.make_opsetid("", 17)], ["slope"],
    )  # fmt: skip
    proto = model(
        "g (float[b, 64] x) => (float[b, 8] y) { y = Identity (x) }",
        domains=', "my": 1',
        w=floats(64, 128),
        v=floats(128, 8),
    )
    del proto.graph.node[:]
    proto.graph.node.append(helper.make_node("Dense", ["x", "w"], ["h"], domain="my", slope=0.2))
    proto.graph.node.append(helper.make_node("Dense", ["h", "v"], ["y"], domain="my", slope=0.1))
    proto.functions.append(dense)
    return proto


def trees():
    node = helper.make_node(
        "TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", n_targets=1,
        nodes_treeids=[0, 0, 0], nodes_nodeids=[0, 1, 2], nodes_featureids=[0, 0, 0],
        nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"], nodes_values=[0.0, 0.0, 0.0],
        nodes_truenodeids=[1, 0, 0], nodes_falsenodeids=[2, 0, 0],
        target_treeids=[0, 0], target_nodeids=[1, 2], target_ids=[0, 0], target_weights=[1.0, -1.0],
    )  # fmt: skip
    tensor = helper.make_tensor_value_info
    graph = helper.make_graph([node], "g", [tensor("x", 1, ["b", 4])], [tensor("y", 1, ["b", 1])])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("ai.onnx.ml", 3)], ir_version=8)


def dictionaries():
    """What skl2onnx makes of a classifier: labels, and a sequence of maps."""
    classify = helper.make_node(
        "LinearClassifier", ["x"], ["label", "scores"], domain="ai.onnx.ml",
        coefficients=[1.0, 2.0, -1.0, 1.0], intercepts=[0.0, 1.0], classlabels_ints=[0, 1],
    )  # fmt: skip
    zipped = helper.make_node("ZipMap", ["scores"], ["maps"], domain="ai.onnx.ml", classlabels_int64s=[0, 1])
    maps = onnx.ValueInfoProto(name="maps")
    kind = maps.type.sequence_type.elem_type.map_type
    kind.key_type, kind.value_type.tensor_type.elem_type = TensorProto.INT64, TensorProto.FLOAT
    tensor = helper.make_tensor_value_info
    graph = helper.make_graph(
        [classify, zipped], "g", [tensor("x", 1, ["b", 2])], [tensor("label", 7, ["b"]), maps]
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def named(**names):
    proto = mlp()
    for node in proto.graph.node:
        for values in (node.input, node.output):
            values[:] = [names.get(value, value) for value in values]
    for tensor in proto.graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)
    return proto


def without_output_shape():
    proto = mlp()
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    return proto


ROWS = {"x": floats(SAMPLES, 64)}
IMAGES = {"x": floats(SAMPLES, 3, 8, 8)}
STEPS = {"x": floats(SAMPLES, 2, 5, 64)}

SERVED = {
    **{f"opset {opset}": (cnn(opset, 3 if opset < 9 else 8), IMAGES) for opset in (7, 9, 11, 13, 17, 21)},
    "newest opset": (cnn(NEWEST, 13), IMAGES),
    "float64": (mlp(np.float64, "double"), {"x": floats(SAMPLES, 64, dtype=np.float64)}),
    "float16": (mlp(np.float16, "float16"), {"x": floats(SAMPLES, 64, dtype=np.float16)}),
    "float16 inside": (
        model(
            """g (float[b, 64] x) => (float[b, 8] y) {
            a = Cast <to = 10> (x) h = MatMul (a, w) y = Cast <to = 1> (h) }""",
            w=floats(64, 8, dtype=np.float16),
        ),
        ROWS,
    ),
    "bfloat16 inside": (
        model("g (float[b, 64] x) => (float[b, 64] y) { a = Cast <to = 16> (x) y = Cast <to = 1> (a) }"),
        ROWS,
    ),
    "text in": (
        model(
            """g (string[b] s) => (float[b, 8] y) {
            i = ai.onnx.ml.LabelEncoder <keys_strings = ["a", "b"], values_int64s = [1, 2],
                                         default_int64 = 0> (s)
            e = Gather (t, i) y = MatMul (e, w) }""",
            domains=', "ai.onnx.ml": 2',
            t=floats(300, 64),
            w=floats(64, 8),
        ),
        {"s": np.array([["a", "b"], ["c", "a"]] * (SAMPLES // 2))},
    ),
    "text out": (
        model(
            """g (float[b, 64] x) => (string[b] y) { h = MatMul (x, w) i = ArgMax <axis = 1, keepdims = 0> (h)
            y = ai.onnx.ml.LabelEncoder <keys_int64s = [0, 1], values_strings = ["a", "b"]> (i) }""",
            domains=', "ai.onnx.ml": 2',
            w=floats(64, 8),
        ),
        ROWS,
    ),
    "several inputs": (
        model(
            """g (float[b, 64] x, int64[b, n] i, int32 k, bool[b] m) => (float[b, 64] y, int64[b, n] j) {
            h = MatMul (x, w) e = Gather (t, i) s = ReduceSum <keepdims = 0> (e, axis) a = Add (h, s)
            f = Cast <to = 1> (k) p = Mul (a, f) u = Unsqueeze (m, axis) y = Where (u, p, a)
            j = Add (i, axis) }""",
            w=floats(64, 64),
            t=floats(500, 64),
            axis=np.array([1]),
        ),
        {
            "x": floats(SAMPLES, 3, 64),
            "i": np.arange(SAMPLES * 21).reshape(SAMPLES, 3, 7),
            "k": np.arange(SAMPLES, dtype=np.int32),
            "m": np.arange(SAMPLES * 3).reshape(SAMPLES, 3) % 2 == 0,
        },
    ),
    "an if": (
        model(
            """g (float[b, 64] x, bool flag) => (float[b, 8] y) { h = MatMul (x, w) r = Relu (h)
            y = If (flag) <then_branch = t () => (float[b, 8] a) { a = MatMul (r, v) },
                           else_branch = e () => (float[b, 8] q) { z = MatMul (r, v) q = Neg (z) }> }""",
            w=floats(64, 128),
            v=floats(128, 8),
        ),
        {"x": floats(SAMPLES, 3, 64), "flag": np.arange(SAMPLES) % 2 == 0},
    ),
    "a loop": (
        model(
            """g (float[b, 64] x, int64 k) => (float[b, 64] y) { f = MatMul (x, w)
            y = Loop (k, yes, f) <body = l (int64 i, bool c, float[b, 64] s) => (bool d, float[b, 64] u) {
                d = Identity (c) m = MatMul (s, w) u = Tanh (m) }> }""",
            w=floats(64, 64),
            yes=np.array(True),
        ),
        {"x": floats(SAMPLES, 3, 64), "k": np.arange(SAMPLES) % 4},
    ),
    "a scan": (
        model(
            """g (float[b, t, 64] x) => (float[b, 64] y, float[t, b, 64] z) {
            s = Transpose <perm = [1, 0, 2]> (x) f = Gather <axis = 1> (x, zero)
            y, z = Scan <num_scan_inputs = 1,
                         body = l (float[b, 64] a, float[b, 64] v) => (float[b, 64] u, float[b, 64] o) {
                m = MatMul (a, w) u = Tanh (m) o = Add (u, v) }> (f, s) }""",
            w=floats(64, 64),
            zero=np.int64(0),
        ),
        STEPS,
    ),
    "an LSTM": (
        model(
            """g (float[b, t, 64] x) => (float[t, 1, b, 32] y) { s = Transpose <perm = [1, 0, 2]> (x)
            y, , c = LSTM <hidden_size = 32> (s, w, r) }""",
            w=floats(1, 128, 64),
            r=floats(1, 128, 32),
        ),
        STEPS,
    ),
    "trees": (trees(), {"x": floats(SAMPLES, 4)}),
    "a sequence beside a tensor": (
        model(
            """g (float[b, 64] x) => (seq(float[b, 4]) q, float[b, 8] y) {
            y = MatMul (x, w) q = SplitToSequence <axis = 1> (y, four) }""",
            w=floats(64, 8),
            four=np.int64(4),
        ),
        ROWS,
    ),
    "maps beside a tensor": (dictionaries(), {"x": floats(SAMPLES, 2)}),
    "BatchNormalization that trains": (
        model(
            """g (float[b, 16, 4, 4] x) => (float[b, 16, 4, 4] y, float[16] m) { c = Conv (x, k)
            y, m, v = BatchNormalization <training_mode = 1, momentum = 1.0> (c, one, one, one, one) }""",
            k=floats(16, 16, 1, 1),
            one=np.ones(16, np.float32),
        ),
        {"x": floats(SAMPLES, 2, 16, 4, 4)},
    ),
    "initializers as inputs": (
        model(
            MLP.replace(") =>", ", float[64, 128] w, float[128, 8] v) =>", 1),
            9,
            3,
            w=floats(64, 128),
            v=floats(128, 8),
        ),
        ROWS,
    ),
    "sparse initializers": (sparse(), ROWS),
    "functions": (functions(), ROWS),
    "operators of ONNX Runtime's own": (
        model(
            """g (float[b, 64] x) => (float[b, 8] y) { h = com.microsoft.FusedMatMul <alpha = 0.5> (x, w)
            i = com.microsoft.Gelu (h) y = MatMul (i, v) }""",
            domains=', "com.microsoft": 1',
            w=floats(64, 128),
            v=floats(128, 8),
        ),
        ROWS,
    ),
    "names like the optimiser's own": (named(h="h/é:0#error", a="a#raw", w="@1@;<>&\"'"), ROWS),
    "an input called labels": (
        model("g (float[b, 64] labels) => (float[b, 8] y) { y = MatMul (labels, w) }", w=floats(64, 8)),
        {"labels": floats(SAMPLES, 64)},
    ),
    "an output without a shape": (without_output_shape(), ROWS),
    "an output of the wrong shape": (
        model("g (float[b, 64] x) => (float[b, 9] y) { y = MatMul (x, w) }", w=floats(64, 8)),
        ROWS,
    ),
    "an axis of length 0": (
        model(
            """g (float[b, 0] e, float[b, 64] x) => (float[b, 8] y) {
            c = Concat <axis = 1> (e, x) y = MatMul (c, w) }""",
            w=floats(64, 8),
        ),
        {"e": floats(SAMPLES, 0), **ROWS},
    ),
    "quantised already": (
        model(
            """g (float[b, 64] x) => (float[b, 8] y) {
            q = QuantizeLinear (x, s, z) d = DequantizeLinear (q, s, z)
            e = DequantizeLinear (w, s, o) y = MatMul (d, e) }""",
            s=np.float32(0.05),
            z=np.uint8(128),
            w=np.arange(512, dtype=np.int8).reshape(64, 8),
            o=np.int8(0),
        ),
        ROWS,
    ),
    "whole numbers only": (
        model("g (int64[b, n] x) => (int64[b, n] y) { a = Add (x, two) y = Mul (a, two) }", two=np.int64(2)),
        {"x": np.arange(SAMPLES * 6).reshape(SAMPLES, 2, 3)},
    ),
    "weights shared by layers": (
        model(
            """g (int64[b, n] i) => (float[b, n, 300] y) {
            e = Gather (t, i) u = Transpose (t) y = MatMul (e, u) }""",
            t=floats(300, 64),
        ),
        {"i": np.arange(SAMPLES * 10).reshape(SAMPLES, 2, 5)},
    ),
    "an output that is an input, and one that is a weight": (
        model(
            "g (float[b, 64] x) => (float[b, 8] y, float[b, 64] x, float[64, 8] w) { y = MatMul (x, w) }",
            w=floats(64, 8),
        ),
        ROWS,
    ),
    "five nodes": (
        model(
            """g (float[b, 64] x) => (float[b, 64] y) {
            a = Add (x, c) m = Mul (a, c) r = Relu (m) s = Sub (r, c) y = Sigmoid (s) }""",
            c=floats(64),
        ),
        ROWS,
    ),
    "a weight that is infinite": (mlp(w=np.where(floats(64, 128) > 3, np.inf, floats(64, 128))), ROWS),
    "a weight that is no number": (mlp(w=np.where(floats(64, 128) > 3, np.nan, floats(64, 128))), ROWS),
    "outputs that never change": (mlp(w=np.zeros((64, 128), np.float32)), ROWS),
}

REFUSED = {
    "sequences only": (
        model(
            "g (float[b, 64] x) => (seq(float[b, 4]) q) { q = SplitToSequence <axis = 1> (x, four) }",
            four=np.int64(4),
        ),
        ROWS,
        "no output that is a tensor",
    ),
    "a sequence in": (
        model("g (seq(float[b, 4]) q) => (float[b, 4] y) { y = ConcatFromSequence <axis = 0> (q) }"),
        {"q": floats(SAMPLES, 4)},
        "cannot be sent over HTTP",
    ),
    "a type without numpy": (
        model("g (bfloat16[b, 64] x) => (bfloat16[b, 64] y) { y = Identity (x) }"),
        ROWS,
        "cannot be sent over HTTP",
    ),
    "an operator of a domain of its own": (
        model("g (float[b, 64] x) => (float[b, 64] y) { y = my.Twist (x) }", domains=', "my": 1'),
        ROWS,
        "cannot load",
    ),
    "an operator that does not exist": (
        model("g (float[b, 64] x) => (float[b, 64] y) { y = Twist (x) }"),
        ROWS,
        "cannot load",
    ),
    "random numbers": (
        model("g (float[b, 64] x) => (float[b, 64] y) { y = RandomNormalLike <seed = 1.0> (x) }"),
        ROWS,
        "random",
    ),
    "an input without a shape": (
        model("g (float x) => (float y) { y = Relu (x) }"),
        ROWS,
        "shape",
    ),
}
REFUSED["an input without a shape"][0].graph.input[0].type.tensor_type.ClearField("shape")


@pytest.fixture
def press(tmp_path, capsys):
    """Run the command; gives status, stdout and stderr."""

    def call(proto, feeds, *more):
        onnx.save(proto, tmp_path / "odd.onnx")
        np.savez(tmp_path / "data.npz", **feeds)
        data = [f"--{side}={tmp_path / 'data.npz'}" for side in ("calibration", "evaluation")]
        options = ["--max-drop", str(BOUND), "--metric", "agreement", "--json", "-o", str(tmp_path / "out")]
        status = main([str(tmp_path / "odd.onnx"), *data, *options, *more])
        return status, *capsys.readouterr()

    return call


@pytest.mark.parametrize("kind", SERVED)
def test_a_bundle_that_is_valid_and_within_the_bound(press, kind):
    status, out, err = press(*SERVED[kind])
    assert (status, err) == (0, "")
    result = json.loads(out)
    folder = Path(result["bundle"])
    manifest = verify(folder, result["digest"])
    assert result["drop"] <= BOUND
    for name in ("model.onnx", "model.ort"):
        session = serving_session(folder / name)
        text = {arg.name for arg in session.get_inputs() if arg.type == "tensor(string)"}
        for inputs, expected in golden_samples(load_npz(folder / "golden.npz")):
            feeds = {key: array.astype(object) if key in text else array for key, array in inputs.items()}
            answers = run(session, feeds, [spec.name for spec in manifest.signature.outputs])
            assert {key: array.shape for key, array in answers.items()} == {
                key: array.shape for key, array in expected.items()
            }


def test_a_metric_of_vectors_of_many_lengths(press):
    text = """g (float[b, 64] x) => (float[1, n] y) {
        h = Greater (x, one) i = NonZero (h) f = Cast <to = 1> (i) y = Flatten <axis = 0> (f) }"""
    status, out, err = press(model(text, one=np.float32(1)), ROWS, "--metric", "retrieval-top1")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "retrieval-top1 needs outputs of one size" in err


def test_external_data_behind_links(press, tmp_path):
    """As caches of models have it: the names are links to files elsewhere."""
    (tmp_path / "blobs").mkdir()
    onnx.save(mlp(), tmp_path / "blobs/1", save_as_external_data=True, location="2", size_threshold=0)
    linked = onnx.load(tmp_path / "blobs/1", load_external_data=False)
    for tensor in linked.graph.initializer:
        next(entry for entry in tensor.external_data if entry.key == "location").value = "weights"
    (tmp_path / "weights").symlink_to(tmp_path / "blobs/2")
    status, out, err = press(linked, ROWS)
    assert (status, err) == (0, "")
    assert json.loads(out)["size_before"] > 30_000


def test_external_data_of_another_folder(press, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    onnx.save(mlp(), elsewhere / "m", save_as_external_data=True, location="w", size_threshold=0)
    stray = onnx.load(elsewhere / "m", load_external_data=False)
    for tensor in stray.graph.initializer:
        next(
            entry for entry in tensor.external_data if entry.key == "location"
        ).value = "elsewhere/../elsewhere/w"
    status, out, err = press(stray, ROWS)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "put its external data beside it" in err


@pytest.mark.parametrize("kind", REFUSED)
def test_one_sentence(press, kind, tmp_path):
    proto, feeds, words = REFUSED[kind]
    status, out, err = press(proto, feeds)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert words in err
    assert not list(tmp_path.glob("out/*/*/manifest.json"))
