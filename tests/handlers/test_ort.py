import gc
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from handlers.inference import ort
from handlers.inference.session import open_session
from handlers.inference.tensor import ITEM_SIZES, Tensor
from tests.handlers.bundles import write_bundle
from tests.handlers.models import MODELS, build_model

SHAPES = [(), (0,), (1,), (7,), (2, 3), (2, 0, 3), (1, 2, 3, 4, 5)]
CAT, NUL, EMPTY = "Kätzchen 🐈".encode(), b"a\0b\0\0", b""


def open_model(name: str, **options: object) -> ort.Session:
    return ort.Session(MODELS[name]().SerializeToString(), **options)


def identity(dtype: str, rank: int | None) -> ort.Session:
    shape = None if rank is None else [f"axis{i}" for i in range(rank)]
    node = helper.make_node("Identity", ["x"], ["y"])
    return ort.Session(build_model([node], {"x": (dtype, shape)}, {"y": (dtype, shape)}).SerializeToString())


def tensor_of(array: np.ndarray) -> Tensor:
    return Tensor(str(array.dtype), array.shape, memoryview(array.tobytes()))


def array_of(tensor: Tensor) -> np.ndarray:
    return np.frombuffer(tensor.data, tensor.dtype).reshape(tensor.shape)


@pytest.fixture(scope="module")
def affine() -> ort.Session:
    return open_model("affine")


@pytest.fixture(scope="module")
def two_inputs() -> ort.Session:
    return open_model("two inputs")


@pytest.mark.parametrize("dtype", ITEM_SIZES)
def test_every_dtype_in_every_shape(dtype):
    session = identity(dtype, None)
    assert (session.inputs, session.outputs) == ({"x": dtype}, {"y": dtype})
    for shape in SHAPES:
        count = int(np.prod(shape, dtype=int))
        data = np.random.default_rng(0).integers(0, 2 if dtype == "bool" else 256, count * ITEM_SIZES[dtype])
        sent = memoryview(data.astype(np.uint8).tobytes())
        (got,) = session.run(["y"], {"x": Tensor(dtype, shape, sent)})
        assert (got.dtype, got.shape, got.data.format) == (dtype, shape, "B")
        assert got.data == sent


def test_strings_of_any_bytes_in_every_shape():
    session = identity("string", None)
    for shape in SHAPES:
        texts = ([CAT, NUL, EMPTY, b"\0", b"\xff", b"x" * 1000] * 20)[: int(np.prod(shape, dtype=int))]
        (got,) = session.run(["y"], {"x": Tensor("string", shape, texts)})
        assert (got.dtype, got.shape, got.data) == ("string", shape, texts)


def test_outputs_in_the_order_that_is_asked_for(two_inputs):
    rows = {"a": np.float32([[1, 2]]), "b": np.float32([[3, 4]])}
    inputs = {name: tensor_of(rows[name]) for name in ("b", "a")}
    shape, total = two_inputs.run(["shape", "total"], inputs)
    assert array_of(shape).tolist() == [1, 2]
    assert array_of(total).tolist() == [[4, 6]]
    (shape,) = two_inputs.run(iter(["shape"]), inputs)
    assert shape.dtype == "int64"


def test_inputs_that_are_views(affine):
    row = np.float32([1, 2, 3]).tobytes()
    for data in (
        memoryview(bytearray(row)),  # writable
        memoryview(b"12345" + row)[5:],  # not aligned
        memoryview(np.float32([[1, 2, 3]])),  # of another format and two dimensions
    ):
        assert array_of(affine.run(["y"], {"x": Tensor("float32", (1, 3), data)})[0]).tolist() == [[3, 5, 7]]
    with pytest.raises(BufferError, match="contiguous"):
        affine.run(["y"], {"x": Tensor("float32", (1, 3), memoryview(row * 2)[::2])})


X = Tensor("float32", (1, 3), memoryview(bytes(12)))


@pytest.mark.parametrize(
    ("inputs", "outputs", "error", "words"),
    [
        ({}, ["y"], ValueError, "exactly the inputs x"),
        ({"z": X}, ["y"], ValueError, "exactly the inputs x"),
        ({"x": X, "z": X}, ["y"], ValueError, "exactly the inputs x"),
        ({"x\0": X}, ["y"], ValueError, "exactly the inputs x"),
        ({"x": X}, ["z"], ValueError, "only the outputs y"),
        ({"x": X}, ["y", "y"], ValueError, "only the outputs y, each once"),
        ({"x": X}, [], ort.OrtError, "At least one output"),
        ({"x": Tensor("float32", (1, 3), X.data[:11])}, ["y"], ValueError, "11 bytes are not a tensor"),
        ({"x": Tensor("float32", (1, 2), X.data)}, ["y"], ValueError, r"tensor of float32 \[1, 2\]"),
        ({"x": Tensor("float32", (-1, -3), X.data)}, ["y"], ort.OrtError, "negative"),
        ({"x": Tensor("float32", (2**63, 0), X.data[:0])}, ["y"], ValueError, "0 bytes are not a tensor"),
        ({"x": Tensor("string", (2**64, 0), [])}, ["y"], ValueError, "0 strings are not a tensor"),
        ({"x": Tensor("float32", (2**62, 2**62, 0), X.data[:0])}, ["y"], ort.OrtError, "overflow"),
        ({"x": Tensor("float32", (1.0, 3), X.data)}, ["y"], TypeError, "float"),
        ({"x": Tensor("float32", (3,), X.data)}, ["y"], ort.OrtError, "rank"),
        ({"x": Tensor("int32", (1, 3), X.data)}, ["y"], ort.OrtError, "data type"),
        ({"x": Tensor("string", (1, 3), [b""] * 3)}, ["y"], ort.OrtError, "data type"),
        ({"x": Tensor("string", (1, 3), [b""] * 2)}, ["y"], ValueError, "2 strings are not a tensor"),
        ({"x": Tensor("string", (-1, -3), [b""] * 3)}, ["y"], ort.OrtError, "must be >= 0"),
        ({"x": Tensor("string", (1, 1), ["text"])}, ["y"], TypeError, "bytes"),
        ({"x": Tensor("string", (1, 1), [None])}, ["y"], TypeError, "bytes"),
        ({"x": Tensor("string", (1, 1), [1])}, ["y"], TypeError, "bytes"),
        ({"x": Tensor("string", (1, 3), X.data)}, ["y"], TypeError, "list of bytes"),
        ({"x": Tensor("float32", (1, 3), [1.0] * 3)}, ["y"], TypeError, "bytes-like"),
        ({"x": Tensor("complex64", (1, 3), X.data)}, ["y"], KeyError, "complex64"),
    ],
)
def test_what_is_refused(affine, inputs, outputs, error, words):
    with pytest.raises(error, match=words):
        affine.run(outputs, inputs)
    assert array_of(affine.run(["y"], {"x": X})[0]).tolist() == [[1, 1, 1]]


@pytest.mark.parametrize(
    ("model", "inputs", "codes"),
    [
        ("pairs", {"x": np.float32([1, 2, 3])}, {ort.FAIL, ort.RUNTIME_EXCEPTION}),
        ("lookup", {"index": np.int64([123456789])}, {ort.INVALID_ARGUMENT}),
    ],
)
def test_a_failing_node_is_not_logged(capfd, model, inputs, codes):
    """ONNX Runtime's own line would quote the client's values."""
    session = open_model(model)
    with pytest.raises(ort.OrtError) as caught:
        session.run(session.outputs, {name: tensor_of(array) for name, array in inputs.items()})
    assert caught.value.code in codes
    assert caught.value.message == str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_a_terminated_session_fails_until_it_is_resumed():
    session = open_model("loop")
    session.terminate()
    for steps in (1, 10**9):
        with pytest.raises(ort.OrtError, match="terminate flag"):
            session.run(["y"], {"steps": tensor_of(np.int64([steps]))})
    session.resume()
    (y,) = session.run(["y"], {"steps": tensor_of(np.int64([0]))})
    assert array_of(y) == 1


def test_a_run_is_ended_by_another_thread():
    session = open_model("loop")
    threading.Timer(0.05, session.terminate).start()
    with pytest.raises(ort.OrtError, match="terminate flag"):
        session.run(["y"], {"steps": tensor_of(np.int64([10**9]))})


def test_outputs_outlive_all(make_bundle):
    """Also where the model hands an input through: what comes out is not the client's memory."""
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])
    graph = helper.make_graph([], "through", [value], [value])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    session = ort.Session(model.SerializeToString())
    sent = bytearray(np.float32([1, 2, 3]).tobytes())
    (got,) = session.run(["x"], {"x": Tensor("float32", (3,), memoryview(sent))})
    sent[:] = bytes(12)
    session.close()
    del session, sent
    gc.collect()
    assert array_of(got).tolist() == [1, 2, 3]


def test_inputs_are_let_go_of_after_each_run(affine):
    sent = bytearray(12)
    affine.run(["y"], {"x": Tensor("float32", (1, 3), memoryview(sent))})
    with pytest.raises(ort.OrtError):
        affine.run(["y"], {"x": Tensor("float32", (3,), memoryview(sent))})
    sent.append(0)  # BufferError, if anybody still had a view of it


def test_threads_share_a_session(two_inputs):
    wrong = []

    def ask(seed: int) -> None:
        random = np.random.default_rng(seed)
        for _ in range(200):
            a, b = random.random((2, random.integers(1, 50), 2), np.float32)
            (total,) = two_inputs.run(["total"], {"a": tensor_of(a), "b": tensor_of(b)})
            if not np.array_equal(array_of(total), a + b):
                wrong.append(seed)

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("file", ["model.ort", "model.onnx"])
@pytest.mark.parametrize("where", ["file", "bytes", "mapped", "unaligned"])
def test_a_bundles_model_wherever_its_bytes_are(affine_bundle: Path, file, where, threads):
    content = (affine_bundle / file).read_bytes()
    data = {
        "file": None,
        "bytes": content,
        "mapped": memoryview(bytearray(content)).toreadonly(),
        "unaligned": memoryview(b"1" + content)[1:],
    }[where]
    path = str(affine_bundle / file) if data is None else file
    session = open_session(path, threads, data)
    del content, data
    gc.collect()
    x = np.float32([[1, 2, 3]])
    assert array_of(session.run(["y"], {"x": tensor_of(x)})[0]).tolist() == [[3, 5, 7]]


@pytest.mark.parametrize("file", ["model.ort", "model.onnx"])
def test_a_models_bytes_are_kept_while_they_are_used(affine_bundle, file):
    content = bytearray((affine_bundle / file).read_bytes())
    session = open_session(file, 1, content)
    if file == "model.ort":
        with pytest.raises(BufferError):
            content.append(0)
        session.close()
    content.append(0)


def stumps(count: int) -> onnx.ModelProto:
    """y = so many trees, each 1 where x > 0.5: with tensors as attributes of a node."""
    node = helper.make_node(
        "TreeEnsemble",
        ["x"],
        ["y"],
        domain="ai.onnx.ml",
        n_targets=1,
        tree_roots=range(count),
        nodes_featureids=[0] * count,
        nodes_splits=onnx.numpy_helper.from_array(np.full(count, 0.5, np.float32)),
        nodes_modes=onnx.numpy_helper.from_array(np.zeros(count, np.uint8)),
        nodes_truenodeids=[0] * count,
        nodes_trueleafs=[1] * count,
        nodes_falsenodeids=[1] * count,
        nodes_falseleafs=[1] * count,
        leaf_targetids=[0, 0],
        leaf_weights=onnx.numpy_helper.from_array(np.float32([0, 1])),
    )
    model = build_model([node], {"x": ("float32", ["batch", 1])}, {"y": ("float32", ["batch", 1])})
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 5))
    return model


@pytest.mark.parametrize("is_fetched", [False, True])
def test_an_optimised_model_whose_attributes_cannot_be_read_in_place(tmp_path, is_fetched):
    path = write_bundle(tmp_path, stumps(100), name="stumps") / "model.ort"
    session = open_session(str(path), 1, path.read_bytes() if is_fetched else None)
    x = np.float32([[0], [1]])
    assert array_of(session.run(["y"], {"x": tensor_of(x)})[0]).tolist() == [[0], [100]]


def test_a_closed_session(affine_bundle):
    session = open_session(str(affine_bundle / "model.ort"), 1)
    session.close()
    session.close()
    with pytest.raises(ValueError, match="closed"):
        session.run(["y"], {"x": X})


def sequence() -> onnx.ModelProto:
    kind = helper.make_tensor_type_proto(TensorProto.FLOAT, ["n"])
    outputs = [helper.make_value_info("y", helper.make_sequence_type_proto(kind))]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])]
    graph = helper.make_graph([helper.make_node("SequenceConstruct", ["x"], ["y"])], "s", inputs, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def brain_float() -> onnx.ModelProto:
    node = helper.make_node("Cast", ["x"], ["y"], to=TensorProto.BFLOAT16)
    model = build_model([node], {"x": ("float32", ["n"])}, {"y": ("float32", ["n"])})
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.BFLOAT16
    return model


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (sequence, "'y' is a sequence, a map or an optional value"),
        (brain_float, "'y' is a tensor of elements"),
    ],
)
def test_outputs_that_no_protocol_carries(make: Callable[[], onnx.ModelProto], words):
    with pytest.raises(ort.OrtError, match=words):
        ort.Session(make().SerializeToString())


@pytest.mark.parametrize("model", [b"", b"nonsense", "/nowhere/model.ort", "/nowhere/model\udcff.onnx"])
def test_what_is_no_model(model, capfd):
    with pytest.raises(ort.OrtError):
        ort.Session(model)
    assert capfd.readouterr() == ("", "")


def test_the_library_is_found_without_its_package(monkeypatch):
    assert Path(ort.find_library()).parent == Path(onnxruntime.__file__).parent / "capi"
    assert ort.start().version == onnxruntime.__version__
    monkeypatch.setattr(sys, "path", ["", "/nowhere"])
    with pytest.raises(ort.LibraryError, match="install the package onnxruntime"):
        ort.find_library()


def test_libraries_that_are_refused(monkeypatch, tmp_path, capfd):
    (tmp_path / "libonnxruntime.so").write_bytes(b"no library")
    for path in (str(tmp_path / "libonnxruntime.so"), "libm.so.6"):
        with pytest.raises(ort.LibraryError, match="is no ONNX Runtime library"):
            ort.Library(path)
    monkeypatch.setattr(ort, "_API_VERSION", 99)
    with pytest.raises(ort.LibraryError, match=r"is ONNX Runtime 1\.\d+\.\d+, but 1\.99 or a later 1\.x"):
        ort.Library(ort.find_library())
    assert capfd.readouterr() == ("", "")


COLD = """
import sys
sys.path[:0] = {path!r}
before = set(sys.modules)
from handlers.inference import session, tensor
opened = session.open_session({file!r}, 2)
sent = tensor.Tensor("float32", (1, 3), memoryview(bytes(12)))
print(bytes(opened.run(["y"], {{"x": sent}})[0].data).hex())
print(*sorted(set(sys.modules) - before))
"""


def test_a_process_that_opens_a_model_imports_little_and_ends_well(affine_bundle):
    root = str(Path(__file__).parents[2])
    path = [root, str(Path(onnxruntime.__file__).parents[1])]
    script = COLD.format(path=path, file=str(affine_bundle / "model.ort"))
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    answer, modules = done.stdout.splitlines()
    assert answer == np.float32([1, 1, 1]).tobytes().hex()
    python = {name for name in modules.split() if not name.startswith("_") and "." not in name}
    free = {"abc", "codecs", "genericpath", "posixpath", "stat"}
    assert python <= {"ctypes", "handlers", "os", "struct", "types"} | free


@pytest.mark.slow
def test_memory_is_flat():
    """100,000 runs, failures and strings among them, and 1,000 sessions."""
    numbers, texts = open_model("affine"), identity("string", 1)
    content = MODELS["affine"]().SerializeToString()

    def run(times: int) -> None:
        for _ in range(times):
            numbers.run(["y"], {"x": tensor_of(np.ones((64, 3), np.float32))})
            texts.run(["y"], {"x": Tensor("string", (3,), [CAT, NUL, b"x" * 99])})
            with pytest.raises(ort.OrtError):
                numbers.run(["y"], {"x": Tensor("float32", (3,), X.data)})
            with pytest.raises(ValueError, match="bytes"):
                numbers.run(["y"], {"x": Tensor("float32", (1, 2), X.data)})

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    for step, times in ((lambda: run(25), 1000), (lambda: ort.Session(content).close(), 1000)):
        for _ in range(times // 10):
            step()
        before = resident()
        for _ in range(times):
            step()
        assert resident() - before < 2 * 1024**2
