"""Trained parameters back into the graph that they came from: nothing else of it changes."""

from collections.abc import Mapping

import numpy as np
import onnx
import onnx_ir as ir

from optimizer.external import parse
from optimizer.passes._graph import Array, constant
from optimizer.train.interpreter import Interpreter
from optimizer.train.parameters import producer_scale


def written(model: bytes, interpreter: Interpreter) -> bytes:
    """The model that ``interpreter`` was made from, with its parameters as they are now.

    Where none was moved, it is the same, byte by byte.
    """
    changed = {name: one.trained() for name, one in interpreter.known.items() if one.is_moved}
    changed |= _biases(parse(model).graph, changed)
    if not changed:
        return model
    proto = onnx.load_model_from_string(model)
    for tensor in proto.graph.initializer:
        if tensor.name in changed:
            tensor.CopyFrom(onnx.numpy_helper.from_array(changed[tensor.name], tensor.name))
    data: bytes = proto.SerializeToString(deterministic=True)
    return data


def _biases(graph: ir.Graph, changed: Mapping[str, Array]) -> dict[str, Array]:
    """Whole biases of convolutions whose scales moved, and their scales.

    ONNX Runtime takes a bias to be in steps of the data's scale times the weights', whatever its own says.
    """
    adapted: dict[str, Array] = {}
    for conv in graph:
        if conv.op_type != "Conv" or len(conv.inputs) < 3 or conv.inputs[2] is None:
            continue
        names = [producer_scale(value) for value in conv.inputs[:3]]
        dequantise = conv.inputs[2].producer()
        if None in names or dequantise is None or not {names[0], names[1]} & changed.keys():
            continue
        stored, before = dequantise.inputs[0], constant(dequantise.inputs[1])
        data, weight = (_now(graph, str(name), changed) for name in names[:2])
        whole = None if stored is None else _now(graph, str(stored.name), changed)
        if stored is None or before is None or data is None or weight is None or whole is None:
            continue
        scale = np.maximum(np.asarray(data, np.float32) * np.asarray(weight, np.float32), np.float32(1e-30))
        floats = whole.astype(np.float64) * np.asarray(before, np.float64)
        adapted[str(names[2])] = scale.reshape(before.shape)
        limit = 2**31 - 1
        adapted[str(stored.name)] = np.clip(np.rint(floats / scale), -limit, limit).astype(np.int32)
    return adapted


def _now(graph: ir.Graph, name: str, changed: Mapping[str, Array]) -> Array | None:
    return changed[name] if name in changed else constant(graph.initializers[name])
