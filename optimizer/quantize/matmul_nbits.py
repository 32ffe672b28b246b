"""MatMul with weights of 8 or 4 bits in blocks: activations are rounded more finely than in dynamic int8."""

from collections.abc import Collection
from typing import Literal

import onnx_ir as ir

from optimizer.passes._graph import bypass, initializer, is_among, present, weights
from optimizer.quantize import dynamic
from optimizer.quantize.blocks import block_of, quantize_blocks

_DOMAIN = "com.microsoft"
_INT8_COMPUTE = 4  # the operator's accuracy level


class QuantizeMatMulNBits(ir.passes.InPlacePass):
    """Compute MatMuls by constant float32 matrices with ONNX Runtime's MatMulNBits.

    1. Weights have a scale for each block of 128 or less along the reduction; where 16 does not divide it,
       the MatMul stays.
    2. At accuracy level 4 the operator rounds activations to s8 with a scale for each row and block, so an
       outlier costs the rest of its block only. It is slower than dynamic int8 but for a single row.
    3. With ``layers``, the names of nodes' outputs, only those.

    It does not saturate on a CPU without VNNI, whatever weights and activations are: answers under an
    emulated Haswell are those of a CPU with VNNI (a slow test shows it, at the extremes of both).
    """

    def __init__(self, layers: Collection[str] | None = None, *, bits: Literal[4, 8] = 8) -> None:
        self.layers = layers
        self.bits = bits

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Quantise all that qualify."""
        modified = False
        for node in quantisable(model.graph):
            if is_among(node, self.layers):
                self._quantise(model.graph, node)
                model.opset_imports.setdefault(_DOMAIN, 1)
                modified = True
        return ir.passes.PassResult(model, modified)

    def _quantise(self, graph: ir.Graph, node: ir.Node) -> None:
        value = present(node.inputs[1])
        rows = present(weights(value)).T
        columns, reduced = rows.shape
        block = present(block_of(reduced))
        stored, scale = quantize_blocks(rows, block, self.bits)
        inputs = [
            node.inputs[0],
            initializer(graph, f"{value.name}_q{self.bits}", stored.reshape(columns, reduced // block, -1)),
            initializer(graph, f"{value.name}_scale", scale.reshape(-1)),
        ]
        attributes = {
            "K": reduced,
            "N": columns,
            "bits": self.bits,
            "block_size": block,
            "accuracy_level": _INT8_COMPUTE,
        }
        product = ir.node("MatMulNBits", inputs, attributes, domain=_DOMAIN)
        graph.insert_before(node, product)
        bypass(node, product.outputs[0])


def quantisable(graph: ir.Graph) -> list[ir.Node]:
    """The MatMul nodes that rule 1 names, in the order of the graph."""
    return [
        node
        for node in dynamic.quantisable(graph)
        if node.op_type == "MatMul" and block_of(present(weights(node.inputs[1])).shape[0]) is not None
    ]
