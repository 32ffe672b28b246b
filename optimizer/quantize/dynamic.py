"""MatMul and Gemm by constant weights with int8 weights, activations quantised as they come."""

from collections.abc import Collection, Mapping

import numpy as np
import onnx_ir as ir

from optimizer.passes._graph import Floats, bypass, initializer, insert, is_among, nodes, present, weights
from optimizer.quantize._products import with_addend
from optimizer.quantize.weights import Rounding, quantize_channels

# Below this a multiplication costs less than quantising its input.
_MIN_WEIGHTS = 4096


class QuantizeDynamic(ir.passes.InPlacePass):
    """Compute MatMul and Gemm by constant float32 matrices in int8.

    1. The input goes through DynamicQuantizeLinear (u8, per tensor), once however many read it.
    2. The weights are s8, symmetric, with a scale by output column; MatMulInteger, Cast and two Muls give
       floats again. ONNX Runtime fuses these into one kernel.
    3. Gemm is taken when it is a plain x @ W (+ c): alpha and beta 1, x not transposed.
    4. Matrices of fewer than 4096 weights stay float, and so does a first input that is not float32.
    5. With ``layers``, the names of nodes' outputs, only those.
    6. ``rounding``, by layer, rounds the weights of those that it has; the rest are rounded to the nearest.
    """

    def __init__(
        self,
        *,
        saturates: bool,
        layers: Collection[str] | None = None,
        rounding: Mapping[str, Rounding] | None = None,
    ) -> None:
        """``saturates``: the target may lack VNNI (see ``weights``)."""
        self.saturates = saturates
        self.layers = layers
        self.rounding = rounding or {}

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Quantise all that qualify."""
        inputs: dict[ir.Value, ir.Node] = {}
        shared: dict[tuple[ir.Value, bool, Rounding], tuple[ir.Value, ir.Value]] = {}
        modified = False
        for node in quantisable(model.graph):
            if not is_among(node, self.layers):
                continue
            data, value = present(node.inputs[0]), present(node.inputs[1])
            transposed = present(_plain_transposed(node))
            rounding = self.rounding.get(str(node.outputs[0].name), quantize_channels)
            key = (value, transposed, rounding)
            if key not in shared:
                shared[key] = self._quantise(model.graph, value, rounding, transposed=transposed)
            if data not in inputs:
                # Stands before its first reader.
                inputs[data] = insert(node, "DynamicQuantizeLinear", [data], outputs=3)
            _rewrite(model.graph, node, inputs[data], *shared[key])
            modified = True
        return ir.passes.PassResult(model, modified)

    def _quantise(
        self, graph: ir.Graph, value: ir.Value, rounding: Rounding, *, transposed: bool
    ) -> tuple[ir.Value, ir.Value]:
        """The weights as s8 [rows, columns], and their scales [columns]."""
        weight = present(weights(value))
        columns = weight if transposed else weight.T
        quantised, scale = rounding(columns, (), saturates=self.saturates)
        return (
            initializer(graph, f"{value.name}_s8", np.ascontiguousarray(quantised.T)),
            initializer(graph, f"{value.name}_scale", scale),
        )


def quantisable(graph: ir.Graph) -> list[ir.Node]:
    """The MatMul and Gemm nodes that rules 3 and 4 name, in the order of the graph."""
    return [
        node
        for node in nodes(graph, "MatMul", "Gemm")
        if node.inputs[0] is not None
        and _plain_transposed(node) is not None
        and _qualifies(weights(node.inputs[1]))
    ]


def _qualifies(weight: Floats | None) -> bool:
    return (
        weight is not None
        and weight.ndim == 2
        and weight.dtype == np.float32
        and weight.size >= _MIN_WEIGHTS
        and bool(np.isfinite(weight).all())
    )


def _plain_transposed(node: ir.Node) -> bool | None:
    """Whether the weights are [columns, rows]; None if the node is no plain x @ W (+ c)."""
    if node.op_type == "MatMul":
        return False
    plain = (
        node.attributes.get_float("alpha", 1.0) == 1.0
        and node.attributes.get_float("beta", 1.0) == 1.0
        and not node.attributes.get_int("transA", 0)
    )
    return bool(node.attributes.get_int("transB", 0)) if plain else None


def _rewrite(graph: ir.Graph, node: ir.Node, data: ir.Node, weight: ir.Value, scale: ir.Value) -> None:
    quantised, data_scale, zero_point = data.outputs
    # ONNX Runtime's fusion asks for the weights' zero points, though they are all zero.
    zeros = initializer(graph, f"{weight.name}_zero", np.zeros(present(scale.shape).numpy(), np.int8))
    product = insert(node, "MatMulInteger", [quantised, weight, zero_point, zeros])
    floats = insert(node, "Cast", product.outputs[:1], {"to": int(ir.DataType.FLOAT)})
    scales = insert(node, "Mul", [data_scale, scale])
    result = insert(node, "Mul", [floats.outputs[0], scales.outputs[0]]).outputs[0]
    bypass(node, with_addend(node, result))
