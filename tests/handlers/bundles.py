"""Small real bundles of any ONNX model, written in a moment: nothing of them is pressed or measured."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import onnxruntime

from bundle.arrays import golden_arrays
from bundle.folder import write
from bundle.manifest import Figures, Manifest, Metric, Signature, Source, TensorSpec
from tests.handlers.models import NAMES

Golden = list[tuple[dict[str, np.ndarray], dict[str, np.ndarray]]]


def write_bundle(
    parent: Path,
    model: onnx.ModelProto,
    *,
    name: str,
    serve: str = "model.ort",
    labels: Sequence[str] = (),
    golden: Golden | None = None,
    baseline: bytes = b"{}",
    **told: Any,
) -> Path:
    """Write a bundle of ``model`` under ``parent`` and return its folder.

    ``golden``: inputs and outputs; ``told``: what else the manifest says.
    """
    manifest = msgspec.structs.replace(_manifest(model, name, serve, labels), **told)
    if golden:
        errors = {output.name: 0.0 for output in model.graph.output}
        manifest = msgspec.structs.replace(manifest, golden_error=errors)
    return write(parent, manifest, _files(model, parent, golden or [], baseline))


def _files(model: onnx.ModelProto, scratch: Path, samples: Golden, baseline: bytes) -> dict[str, bytes]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(scratch / "model.ort")
    onnxruntime.InferenceSession(model.SerializeToString(), options)
    golden = io.BytesIO()
    np.savez(golden, **golden_arrays(samples))
    return {
        "baseline.json": baseline,
        "golden.npz": golden.getvalue(),
        "model.onnx": model.SerializeToString(),
        "model.ort": (scratch / "model.ort").read_bytes(),
        "report.html": b"<!doctype html>",
    }


def _manifest(model: onnx.ModelProto, name: str, serve: str, labels: Sequence[str]) -> Manifest:
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
        class_labels=list(labels),
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
