"""Embedding tables in 8 or 4 bits."""

from collections.abc import Collection
from typing import Literal

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from optimizer.passes._graph import Floats, bypass, initializer, insert, is_among, nodes, present, weights
from optimizer.quantize.weights import quantize_channels

_MIN_WEIGHTS = 65536
_DOMAIN = "com.microsoft"
# GatherBlockQuantized takes blocks of powers of 2 from 16.
_LARGEST_BLOCK, _SMALLEST_BLOCK = 128, 16
_HALF = 8  # the level of uint4 that means 0
_SHARES = np.linspace(0.7, 1.0, 7, dtype=np.float32)
_AT_ONCE = 4096


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
            block = _block(table.shape[1])
            if not is_among(node, self.layers) or (self.bits == 4 and block is None):
                continue
            if value not in tables:
                stored, scale = (
                    _in_8_bits(table) if block is None or self.bits == 8 else _in_4_bits(table, block)
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


def _block(width: int) -> int | None:
    """The largest block that divides a row, if there is one."""
    block = _LARGEST_BLOCK
    while width % block:
        block //= 2
    return block if block >= _SMALLEST_BLOCK else None


def _in_8_bits(table: Floats) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    quantised, scale = quantize_channels(table, saturates=False)
    return quantised, scale[:, None]


def _gather_8_bits(node: ir.Node, table: ir.Value, scale: ir.Value) -> None:
    rows, scales = (insert(node, "Gather", [part, node.inputs[1]], {"axis": 0}) for part in (table, scale))
    floats = insert(node, "Cast", rows.outputs[:1], {"to": int(ir.DataType.FLOAT)})
    bypass(node, insert(node, "Mul", [floats.outputs[0], scales.outputs[0]]).outputs[0])


def _in_4_bits(table: Floats, block: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """Two values a byte, the first in the low half, and a scale by block."""
    blocks = table.reshape(-1, block)
    parts = [_rounded_blocks(blocks[at : at + _AT_ONCE]) for at in range(0, len(blocks), _AT_ONCE)]
    levels = np.concatenate([part[0] for part in parts]).reshape(len(table), -1)
    scale = np.concatenate([part[1] for part in parts])
    return levels[:, 0::2] | levels[:, 1::2] << 4, scale.reshape(len(table), -1)


def _rounded_blocks(blocks: Floats) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """Levels 0 to 15, of which 8 is zero, and scales, which may be negative: -8 is a level and 8 is none."""
    extreme = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=1)[:, None], axis=1)
    extreme = np.where(extreme == 0, np.float32(1), extreme).astype(np.float32)
    best = np.full((len(blocks), 1), np.inf, np.float32)
    chosen, levels = np.ones_like(best), np.zeros(blocks.shape, np.float32)
    for scale in (extreme * share / largest for share in _SHARES for largest in (-_HALF, _HALF - 1)):
        whole = np.clip(np.rint(blocks / scale), -_HALF, _HALF - 1)
        error = np.square(whole * scale - blocks).sum(axis=1, keepdims=True)
        better = error < best
        best, chosen = np.where(better, error, best), np.where(better, scale, chosen)
        levels = np.where(better, whole, levels)
    return (levels + _HALF).astype(np.uint8), chosen[:, 0].astype(np.float32)


def _gather_4_bits(node: ir.Node, table: ir.Value, scale: ir.Value, block: int) -> None:
    attributes = {"bits": 4, "block_size": block, "gather_axis": 0, "quantize_axis": 1}
    gather = ir.node("GatherBlockQuantized", [table, node.inputs[1], scale], attributes, domain=_DOMAIN)
    present(node.graph).insert_before(node, gather)
    bypass(node, gather.outputs[0])
