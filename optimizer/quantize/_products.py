"""Products of bytes that give floats, by ONNX Runtime's own operator; and what a Gemm adds to its product."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from optimizer.passes._graph import initializer, insert, present

MICROSOFT = "com.microsoft"


@dataclass(frozen=True)
class Quantised:
    """A value as u8, with its scale and zero point."""

    value: ir.Value
    scale: ir.Value
    zero: ir.Value


@dataclass(frozen=True)
class Matrix:
    """Constant weights as s8 [rows, columns], with their scales and zero points by column."""

    value: ir.Value
    scale: ir.Value
    zeros: ir.Value


def matrix(
    graph: ir.Graph, hint: str, by_column: npt.NDArray[np.int8], scale: npt.NDArray[np.float32]
) -> Matrix:
    """From weights [columns, rows], as they are rounded; names begin with ``hint``."""
    return Matrix(
        initializer(graph, f"{hint}_s8", np.ascontiguousarray(by_column.T)),
        initializer(graph, f"{hint}_scale", scale),
        initializer(graph, f"{hint}_zeros", np.zeros(len(scale), np.int8)),
    )


def multiply(before: ir.Node, data: Quantised, by: Matrix, bias: ir.Value | None = None) -> ir.Value:
    """The float product of two quantised matrices and a bias, by a node before another."""
    inputs = [data.value, by.value, data.scale, by.scale, data.zero, by.zeros, bias]
    product = ir.node("MatMulIntegerToFloat", inputs, domain=MICROSOFT)
    present(before.graph).insert_before(before, product)
    return product.outputs[0]


def with_addend(node: ir.Node, product: ir.Value) -> ir.Value:
    """The product, and what the node adds to it if it is a Gemm."""
    if node.op_type == "Gemm" and len(node.inputs) > 2 and node.inputs[2] is not None:
        return insert(node, "Add", [product, node.inputs[2]]).outputs[0]
    return product
