"""Embedding tables in 8 or 4 bits."""

from collections.abc import Collection
from typing import Literal

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from optimizer.passes._graph import Floats, bypass, initializer, insert, is_among, nodes, present, weights
from optimizer.quantize.blocks import block_of, quantize_blocks
from optimizer.quantize.weights import quantize_channels

_MIN_WEIGHTS = 65536
_ROWS_AT_ONCE = 4096
_DOMAIN = "com.microsoft"


class QuantizeEmbeddings(ir.passes.InPlacePass):
    """Store the tables that Gather reads in int8, one scale a row, or in int4, one scale a block of a row.

    1. Gather along axis 0 of a constant float32 [rows, width] of at least 65,536 elements.
    2. 8 bits: two Gathers, of s8 rows and of their scales, then Cast and Mul: only what is looked up becomes
       float.
    3. 4 bits: ONNX Runtime's GatherBlockQuantized, in blocks of 128 or the largest power of two that divides
       the width; a width that 16 does not divide stays. Each block's scale is the one of least squared
       error.
    4. With ``layers``, the names of nodes' outputs, only those.
    """

    def __init__(self, layers: Collection[str] | None = None, *, bits: Literal[4, 8] = 8) -> None:
        self.layers = layers
        self.bits = bits

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Quantise every such table once, however many read it."""
        tables: dict[ir.Value, tuple[ir.Value, ir.Value]] = {}
        modified = False
        for node in quantisable(model.graph):
            value = present(node.inputs[0])
            table = present(weights(value))
            block = block_of(table.shape[1])
            if not is_among(node, self.layers) or (self.bits == 4 and block is None):
                continue
            if value not in tables:
                stored, scale = (
                    _in_8_bits(table) if block is None or self.bits == 8 else quantize_blocks(table, block, 4)
                )
                tables[value] = (
                    initializer(model.graph, f"{value.name}_q{self.bits}", stored),
                    initializer(model.graph, f"{value.name}_scale", scale),
                )
            if block is None or self.bits == 8:
                _gather_8_bits(node, *tables[value])
            else:
                _gather_4_bits(node, *tables[value], block)
                model.opset_imports.setdefault(_DOMAIN, 1)
            modified = True
        return ir.passes.PassResult(model, modified)


def quantisable(graph: ir.Graph) -> list[ir.Node]:
    """The Gather nodes that rule 1 names, in the order of the graph."""
    return [
        node
        for node in nodes(graph, "Gather")
        if node.attributes.get_int("axis", 0) == 0 and _qualifies(weights(node.inputs[0]))
    ]


def _qualifies(table: Floats | None) -> bool:
    return (
        table is not None
        and table.ndim == 2
        and table.dtype == np.float32
        and table.size >= _MIN_WEIGHTS
        and bool(np.isfinite(table).all())
    )


def _in_8_bits(table: Floats) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Piece by piece: a table may be most of a model that hardly fits into memory."""
    pieces = (table[at : at + _ROWS_AT_ONCE] for at in range(0, len(table), _ROWS_AT_ONCE))
    quantised, scale = zip(*(quantize_channels(piece, saturates=False) for piece in pieces), strict=True)
    return np.concatenate(quantised), np.concatenate(scale)[:, None]


def _gather_8_bits(node: ir.Node, table: ir.Value, scale: ir.Value) -> None:
    rows, scales = (insert(node, "Gather", [part, node.inputs[1]], {"axis": 0}) for part in (table, scale))
    floats = insert(node, "Cast", rows.outputs[:1], {"to": int(ir.DataType.FLOAT)})
    bypass(node, insert(node, "Mul", [floats.outputs[0], scales.outputs[0]]).outputs[0])


def _gather_4_bits(node: ir.Node, table: ir.Value, scale: ir.Value, block: int) -> None:
    attributes = {"bits": 4, "block_size": block, "gather_axis": 0, "quantize_axis": 1}
    gather = ir.node("GatherBlockQuantized", [table, node.inputs[1], scale], attributes, domain=_DOMAIN)
    present(node.graph).insert_before(node, gather)
    bypass(node, gather.outputs[0])
