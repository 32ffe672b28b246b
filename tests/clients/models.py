"""What the clients ask: a model of every datatype, and the one of TensorFlow Serving's documentation."""

import numpy as np
import onnx
from onnx import helper

from tests.handlers.models import DTYPES, build_model


def every_datatype() -> onnx.ModelProto:
    """y_DTYPE = x_DTYPE on [rows, columns], for each dtype."""
    shape: list[int | str] = ["rows", "columns"]
    return build_model(
        [helper.make_node("Identity", [f"x_{dtype}"], [f"y_{dtype}"]) for dtype in DTYPES],
        {f"x_{dtype}": (dtype, shape) for dtype in DTYPES},
        {f"y_{dtype}": (dtype, shape) for dtype in DTYPES},
    )


def half_plus_three() -> onnx.ModelProto:
    """y = x / 2 + 3 on float32 [n]."""
    return build_model(
        [helper.make_node("Mul", ["x", "half"], ["h"]), helper.make_node("Add", ["h", "three"], ["y"])],
        {"x": ("float32", ["n"])},
        {"y": ("float32", ["n"])},
        {"half": np.float32([0.5]), "three": np.float32([3])},
    )


def scores() -> onnx.ModelProto:
    """scores = 2 x on float32 [n, 3]."""
    shape: list[int | str] = ["n", 3]
    return build_model(
        [helper.make_node("Add", ["x", "x"], ["scores"])],
        {"x": ("float32", shape)},
        {"scores": ("float32", shape)},
    )


def words() -> onnx.ModelProto:
    """Strings and integers [n] as they are."""
    return build_model(
        [helper.make_node("Identity", ["word"], ["same"]), helper.make_node("Identity", ["count"], ["sum"])],
        {"word": ("string", ["n"]), "count": ("int64", ["n"])},
        {"same": ("string", ["n"]), "sum": ("int64", ["n"])},
    )
