"""Embedding tables in int8."""

from collections.abc import Collection

import numpy as np
import onnx_ir as ir

from optimizer.passes._graph import Floats, bypass, initializer, insert, is_among, nodes, present, weights
from optimizer.quantize.weights import quantize_channels

_MIN_WEIGHTS = 65536


class QuantizeEmbeddings(ir.passes.InPlacePass):
    """Store the tables that Gather reads in int8, one scale a row.

    1. Gather along axis 0 of a constant float32 [rows, width] of at least 65,536 elements.
    2. Two Gathers, of s8 rows and of their scales, then Cast and Mul: only what is looked up becomes float.
    3. With ``layers``, the names of nodes' outputs, only those.
    """

    def __init__(self, layers: Collection[str] | None = None) -> None:
        self.layers = layers

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Quantise every such table once, however many read it."""
        tables: dict[ir.Value, tuple[ir.Value, ir.Value]] = {}
        modified = False
        for node in quantisable(model.graph):
            if not is_among(node, self.layers):
                continue
            value, table = present(node.inputs[0]), present(weights(node.inputs[0]))
            if value not in tables:
                quantised, scale = quantize_channels(table, saturates=False)
                tables[value] = (
                    initializer(model.graph, f"{value.name}_s8", quantised),
                    initializer(model.graph, f"{value.name}_scale", scale[:, None]),
                )
            rows, scales = (
                insert(node, "Gather", [part, node.inputs[1]], {"axis": 0}) for part in tables[value]
            )
            floats = insert(node, "Cast", rows.outputs[:1], {"to": int(ir.DataType.FLOAT)})
            bypass(node, insert(node, "Mul", [floats.outputs[0], scales.outputs[0]]).outputs[0])
            modified = True
        return ir.passes.PassResult(model, modified)


def quantisable(graph: ir.Graph) -> list[ir.Node]:
    """The Gather nodes that rule 1 names, in the order of the graph."""
    return [node for node in nodes(graph, "Gather") if _qualifies(node, weights(node.inputs[0]))]


def _qualifies(node: ir.Node, table: Floats | None) -> bool:
    return (
        table is not None
        and node.attributes.get_int("axis", 0) == 0
        and table.ndim == 2
        and table.dtype == np.float32
        and table.size >= _MIN_WEIGHTS
        and bool(np.isfinite(table).all())
    )
