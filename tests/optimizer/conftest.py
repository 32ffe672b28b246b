"""Small graphs as text, passes applied to them, and the answers of both models compared."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import onnxruntime as ort
import pytest

from optimizer.runtime import quiet_options

Arrays = dict[str, np.ndarray]
Make = Callable[..., onnx.ModelProto]


@dataclass(frozen=True)
class Applied:
    model: onnx.ModelProto
    modified: bool

    @property
    def operators(self) -> list[str]:
        return [node.op_type for node in self.model.graph.node]


@pytest.fixture
def make() -> Make:
    """A model from ONNX's text form of a graph, and initializers by keyword."""

    def build(text: str, opset: int = 17, **weights: np.ndarray) -> onnx.ModelProto:
        model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": {opset}, "my.own": 1]> {text}')
        model.graph.initializer.extend(
            onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()
        )
        return onnx.shape_inference.infer_shapes(model)

    return build


@pytest.fixture
def answers() -> Callable[[onnx.ModelProto, Arrays], list[np.ndarray]]:
    return _answers


def _answers(model: onnx.ModelProto, feeds: Arrays) -> list[np.ndarray]:
    return ort.InferenceSession(model.SerializeToString(), quiet_options()).run(None, feeds)


@pytest.fixture
def apply() -> Callable[..., Applied]:
    """Apply a pass; with feeds, check that the model answers as before. An honest pass says what it did."""

    def check(step: ir.passes.PassBase, model: onnx.ModelProto, **feeds: np.ndarray) -> Applied:
        result = step(ir.from_proto(model))
        changed = ir.to_proto(result.model)
        onnx.checker.check_model(changed)
        if feeds:
            for before, after in zip(_answers(model, feeds), _answers(changed, feeds), strict=True):
                np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-4)
        assert not step(ir.from_proto(changed)).modified
        if not result.modified:
            assert changed.graph.node == ir.to_proto(ir.from_proto(model)).graph.node
        return Applied(changed, result.modified)

    return check


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
