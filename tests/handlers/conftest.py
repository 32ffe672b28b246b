"""Small real bundles and what serves them, shared by this room's tests."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from bundle.folder import write
from bundle.manifest import Figures, Manifest, Metric, Signature, Source, TensorSpec
from handlers.inference.service import Service
from tests.handlers.models import DTYPES, MODELS, NAMES

BundleMaker = Callable[..., Path]


@pytest.fixture(scope="session")
def dtypes() -> list[str]:
    return list(DTYPES)


@pytest.fixture(scope="session")
def make_bundle(tmp_path_factory: pytest.TempPathFactory) -> BundleMaker:
    """Write a bundle of a model (one of MODELS, or any) and return its folder."""
    parent = tmp_path_factory.mktemp("bundles")

    def make(model: str | onnx.ModelProto, *, name: str = "toy", serve: str = "model.ort") -> Path:
        model = MODELS[model]() if isinstance(model, str) else model
        return write(parent, _manifest(model, name, serve), _files(model, parent))

    return make


@pytest.fixture(scope="session")
def make_service(make_bundle: BundleMaker) -> Callable[[str], Service]:
    """A service over a bundle of one of MODELS."""

    services: dict[str, Service] = {}

    def make(model: str) -> Service:
        if model not in services:
            services[model] = Service.from_folder(make_bundle(model))
        return services[model]

    return make


@pytest.fixture(scope="session")
def affine_bundle(make_bundle: BundleMaker) -> Path:
    return make_bundle("affine")


@pytest.fixture(scope="session")
def affine_service(affine_bundle: Path) -> Service:
    return Service.from_folder(affine_bundle)


def _files(model: onnx.ModelProto, scratch: Path) -> dict[str, bytes]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(scratch / "model.ort")
    onnxruntime.InferenceSession(model.SerializeToString(), options)
    golden = io.BytesIO()
    np.savez(golden)
    return {
        "baseline.json": b"{}",
        "golden.npz": golden.getvalue(),
        "model.onnx": model.SerializeToString(),
        "model.ort": (scratch / "model.ort").read_bytes(),
        "report.html": b"<!doctype html>",
    }


def _manifest(model: onnx.ModelProto, name: str, serve: str) -> Manifest:
    figures = Figures(size_bytes=1, latency_ms=1.0, cold_start_ms=1.0)
    return Manifest(
        name=name,
        serve=serve,
        target="x86_64",
        objective="latency",
        signature=Signature(
            inputs=[_spec(value) for value in model.graph.input],
            outputs=[_spec(value) for value in model.graph.output],
        ),
        class_labels=[],
        source=Source(file="toy.onnx", sha256="0" * 64, size=1, opset=17),
        passes=[],
        metric=Metric(
            name="agreement", before=1.0, after=1.0, drop=0.0, interval=(0.0, 0.0), bound=0.01, samples=1
        ),
        before=figures,
        after=figures,
        golden_error={},
        tools={},
    )


def _spec(value: onnx.ValueInfoProto) -> TensorSpec:
    tensor = value.type.tensor_type
    shape = [axis.dim_param or axis.dim_value for axis in tensor.shape.dim]
    return TensorSpec(name=value.name, dtype=NAMES[tensor.elem_type], shape=shape)
