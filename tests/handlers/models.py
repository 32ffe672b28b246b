"""Small ONNX models, each for one thing that can go right or wrong."""

from collections.abc import Callable
from functools import partial

import numpy as np
import onnx
from onnx import TensorProto, helper

DTYPES = {
    "bool": TensorProto.BOOL,
    "int8": TensorProto.INT8,
    "int16": TensorProto.INT16,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
    "uint8": TensorProto.UINT8,
    "uint16": TensorProto.UINT16,
    "uint32": TensorProto.UINT32,
    "uint64": TensorProto.UINT64,
    "float16": TensorProto.FLOAT16,
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
    "string": TensorProto.STRING,
}
NAMES = {number: name for name, number in DTYPES.items()}


def build_model(
    nodes: list[onnx.NodeProto],
    inputs: dict[str, tuple[str, list[int | str]]],
    outputs: dict[str, tuple[str, list[int | str]]],
    constants: dict[str, np.ndarray] | None = None,
) -> onnx.ModelProto:
    """An ONNX model; tensors are given as (dtype, shape)."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(n, DTYPES[d], shape) for n, (d, shape) in inputs.items()],
        [helper.make_tensor_value_info(n, DTYPES[d], shape) for n, (d, shape) in outputs.items()],
        [onnx.numpy_helper.from_array(array, name) for name, array in (constants or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def affine() -> onnx.ModelProto:
    """y = 2 x + 1 on float32 [batch, 3]."""
    return build_model(
        [helper.make_node("Mul", ["x", "two"], ["d"]), helper.make_node("Add", ["d", "one"], ["y"])],
        {"x": ("float32", ["batch", 3])},
        {"y": ("float32", ["batch", 3])},
        {"two": np.float32([2]), "one": np.float32([1])},
    )


def typed(dtype: str) -> onnx.ModelProto:
    """y = x on [rows, columns] of any dtype."""
    shape: list[int | str] = ["rows", "columns"]
    return build_model(
        [helper.make_node("Identity", ["x"], ["y"])], {"x": (dtype, shape)}, {"y": (dtype, shape)}
    )


def two_inputs() -> onnx.ModelProto:
    """total = a + b on float32 [batch, 2], and shape = the shape of the total (int64 [2])."""
    shape: list[int | str] = ["batch", 2]
    return build_model(
        [helper.make_node("Add", ["a", "b"], ["total"]), helper.make_node("Shape", ["total"], ["shape"])],
        {"a": ("float32", shape), "b": ("float32", shape)},
        {"total": ("float32", shape), "shape": ("int64", [2])},
    )


def two_columns() -> onnx.ModelProto:
    """low and high = x - 1 and x + 1 on float32 [batch]."""
    return build_model(
        [helper.make_node("Sub", ["x", "one"], ["low"]), helper.make_node("Add", ["x", "one"], ["high"])],
        {"x": ("float32", ["batch"])},
        {"low": ("float32", ["batch"]), "high": ("float32", ["batch"])},
        {"one": np.float32([1])},
    )


def pairs() -> onnx.ModelProto:
    """y = x reshaped to two rows, which fails on an odd length."""
    return build_model(
        [helper.make_node("Reshape", ["x", "shape"], ["y"])],
        {"x": ("float32", ["length"])},
        {"y": ("float32", [2, "half"])},
        {"shape": np.int64([2, -1])},
    )


def lookup() -> onnx.ModelProto:
    """y = row `index` of a table of four, which fails on an index out of it; index is int64 [1]."""
    return build_model(
        [helper.make_node("Gather", ["table", "index"], ["y"])],
        {"index": ("int64", [1])},
        {"y": ("float32", [1])},
        {"table": np.float32([10, 11, 12, 13])},
    )


def logarithm() -> onnx.ModelProto:
    """y = log x on float32 [n]: NaN below zero, -Infinity at zero."""
    return build_model(
        [helper.make_node("Log", ["x"], ["y"])], {"x": ("float32", ["n"])}, {"y": ("float32", ["n"])}
    )


def expand() -> onnx.ModelProto:
    """y = a third, `size` times: as long an answer as one asks for; size is int64 [1]."""
    return build_model(
        [helper.make_node("Expand", ["third", "size"], ["y"])],
        {"size": ("int64", [1])},
        {"y": ("float32", ["n"])},
        {"third": np.float32([1 / 3])},
    )


def loop() -> onnx.ModelProto:
    """y = a number after `steps` products of matrices: as slow as one asks for; steps is int64 [1]."""
    matrix = [64, 64]
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("MatMul", ["m", "m"], ["product"]),
            helper.make_node("Sin", ["product"], ["next"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("step", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("m", TensorProto.FLOAT, matrix),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, matrix),
        ],
    )
    return build_model(
        [
            helper.make_node("Loop", ["steps", "", "ones"], ["end"], body=body),
            helper.make_node("ReduceMax", ["end"], ["y"], keepdims=0),
        ],
        {"steps": ("int64", [1])},
        {"y": ("float32", [])},
        {"ones": np.ones(matrix, np.float32)},
    )


def unnamed_axes() -> onnx.ModelProto:
    """y = x on float32 [?, ?], as Paddle exports axes that have nothing to do with each other."""
    shape: list[int | str] = ["?", "?"]
    return build_model(
        [helper.make_node("Identity", ["x"], ["y"])], {"x": ("float32", shape)}, {"y": ("float32", shape)}
    )


MODELS: dict[str, Callable[[], onnx.ModelProto]] = {
    "affine": affine,
    "two inputs": two_inputs,
    "two columns": two_columns,
    "pairs": pairs,
    "lookup": lookup,
    "logarithm": logarithm,
    "expand": expand,
    "loop": loop,
    "unnamed axes": unnamed_axes,
    **{f"identity {dtype}": partial(typed, dtype) for dtype in DTYPES},
}
