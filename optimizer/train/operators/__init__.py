"""Operators of ONNX and ONNX Runtime as torch computes them, one file for each kind."""

from optimizer.train.operators import (  # noqa: F401 - importing them fills the table
    convolutions,
    elementwise,
    products,
    quantised,
    recurrent,
    reductions,
    shapes,
)
from optimizer.train.operators.base import OPERATORS, Call, Rounding, as_tensor, straight_through

__all__ = ["OPERATORS", "Call", "Rounding", "as_tensor", "straight_through"]
