"""A small valid bundle, and what makes it wrong."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from bundle import folder
from bundle.arrays import golden_arrays
from bundle.manifest import Figures, Manifest, Metric, Signature, Source, TensorSpec


def model_bytes(weight: float = 2.0) -> bytes:
    node = helper.make_node("Mul", ["x", "w"], ["y"])
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])],
        [helper.make_tensor("w", TensorProto.FLOAT, [1], [weight])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString()


def golden_bytes() -> bytes:
    buffer = io.BytesIO()
    x = np.array([1.0, 2.0], np.float32)
    np.savez(buffer, **golden_arrays([({"x": x}, {"y": x * 2})]))
    return buffer.getvalue()


def files(**changes: bytes) -> dict[str, Path | bytes]:
    """Of the small bundle; ``model_onnx=b"..."`` replaces a file, ``tokenizer_json=b"..."`` adds one."""
    content: dict[str, Path | bytes] = {
        "model.onnx": model_bytes(),
        "model.ort": b"ORTM" * 8,
        "golden.npz": golden_bytes(),
        "baseline.json": b"{}",
        "report.html": b"<!doctype html>",
    }
    return content | {".".join(name.rsplit("_", 1)): value for name, value in changes.items()}


MANIFEST = Manifest(
    name="double",
    serve="model.ort",
    target="x86_64",
    objective="latency",
    signature=Signature(
        inputs=[TensorSpec(name="x", dtype="float32", shape=["n"])],
        outputs=[TensorSpec(name="y", dtype="float32", shape=["n"])],
    ),
    class_labels=[],
    source=Source(file="double.onnx", sha256="0" * 64, size=10, opset=17),
    passes=[],
    metric=Metric(name="rmse", before=0.0, after=0.0, drop=0.0, interval=(0.0, 0.0), bound=0.01, samples=10),
    before=Figures(size_bytes=10, latency_ms=1.0, cold_start_ms=5.0),
    after=Figures(size_bytes=5, latency_ms=0.5, cold_start_ms=4.0),
    golden_error={"y": 0.0},
    tools={"onnxruntime": "1.32.0"},
)


@pytest.fixture
def make_bundle(tmp_path: Path) -> Callable[..., Path]:
    """Write the bundle below ``tmp_path``; keywords replace files (``model_onnx=b"..."``)."""

    def make(**changes: bytes) -> Path:
        return folder.write(tmp_path / "built", MANIFEST, files(**changes))

    return make


@pytest.fixture
def external_model(tmp_path: Path) -> bytes:
    model = onnx.load_from_string(model_bytes())
    model.graph.initializer[0].CopyFrom(
        onnx.numpy_helper.from_array(np.arange(1024, dtype=np.float32), name="w")
    )
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    return (tmp_path / "m.onnx").read_bytes()


@pytest.fixture(scope="session")
def bundle_content() -> tuple[Manifest, dict[str, Path | bytes]]:
    """What ``folder.write`` takes for the small bundle."""
    return MANIFEST, files()
