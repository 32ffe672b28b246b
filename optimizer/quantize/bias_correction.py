"""Mean errors of quantised layers into their biases, layer by layer.

Nagel, van Baalen, Blankevoort, Welling: "Data-Free Quantization Through Weight Equalization and Bias
Correction", 2019, section 4.2, with means from data. In the order of the graph, each layer seeing what the
corrected ones before it give: correcting all of them at once, each for the others' errors too, does harm.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from optimizer.external import parse
from optimizer.passes._graph import constant, initializer, present, sole_user
from optimizer.quantize.ranges import with_outputs
from optimizer.runtime import Feeds, optimised_session

Means = npt.NDArray[np.float64]


def correct_biases(model: bytes, quantised: bytes, layers: Sequence[str], samples: Iterable[Feeds]) -> bytes:
    """The quantised model with corrected biases of those of the named layers that are convolutions with one.

    ``layers`` are names of outputs, which ``QuantizeStatic`` and ``QuantizePointwise`` keep.
    """
    graph = parse(quantised)
    found = [layer for node in graph.graph if (layer := _corrigible(node)) and layer.name in layers]
    if not found:
        return quantised
    feeds = list(samples)
    expected = _channel_means(model, {layer.name: 1 for layer in found}, feeds)
    for layer in found:
        part, axes = _only(graph, layer.name), {layer.name: layer.channels}
        gap = expected[layer.name] - _channel_means(part, axes, feeds)[layer.name]
        if np.isfinite(gap).all():
            _add_to_bias(graph.graph, layer, gap)
    data: bytes = ir.to_proto(graph).SerializeToString(deterministic=True)
    return data


@dataclass(frozen=True)
class _Corrigible:
    """A layer with a constant bias: which input that is, and which axis of its output is the channels."""

    node: ir.Node
    name: str
    bias: int
    channels: int


def _corrigible(node: ir.Node) -> _Corrigible | None:
    name = str(node.outputs[0].name)
    if node.op_type == "Conv" and len(node.inputs) > 2 and node.inputs[2] is not None:
        known = constant(node.inputs[2]) is not None or _stored(node) is not None
        return _Corrigible(node, name, 2, 1) if known else None
    if node.op_type != "MatMulIntegerToFloat" or len(node.inputs) < 7 or constant(node.inputs[6]) is None:
        return None
    back = sole_user(node.outputs[0])
    if back is not None and back.op_type == "Transpose":
        return _Corrigible(node, str(back.outputs[0].name), 6, 1)
    return _Corrigible(node, name, 6, -1)


def _stored(conv: ir.Node) -> tuple[ir.Node, npt.NDArray[np.float64], npt.NDArray[np.float64]] | None:
    """The DequantizeLinear that gives a bias, with its whole numbers and scale."""
    node = present(conv.inputs[2]).producer()
    if node is None or node.op_type != "DequantizeLinear":
        return None
    whole, scale = constant(node.inputs[0]), constant(node.inputs[1])
    if whole is None or scale is None:
        return None
    return node, whole.astype(np.float64), scale.astype(np.float64)


def _channel_means(model: bytes, channels: Mapping[str, int], samples: Sequence[Feeds]) -> dict[str, Means]:
    """By channel, the mean over the samples of each value; ``channels`` are the axes by name."""
    names = list(channels)
    session = optimised_session(with_outputs(model, names))
    sums: dict[str, list[Means]] = {name: [] for name in names}
    for feeds in samples:
        for name, array in zip(names, session.run(names, dict(feeds)), strict=True):
            rows = np.moveaxis(array, channels[name], -1).reshape(-1, array.shape[channels[name]])
            sums[name].append(rows.mean(axis=0, dtype=np.float64))
    return {name: np.mean(parts, axis=0) for name, parts in sums.items()}


def _only(model: ir.Model, name: str) -> bytes:
    """What of the model is needed for one value."""
    part = model.clone()
    value = next(v for node in part.graph for v in node.outputs if v.name == name)
    part.graph.outputs[:] = [value]
    data: bytes = ir.to_proto(RemoveUnusedNodesPass()(part).model).SerializeToString()
    return data


def _add_to_bias(graph: ir.Graph, layer: _Corrigible, gap: Means) -> None:
    node, value = layer.node, present(layer.node.inputs[layer.bias])
    floats = constant(value)
    if floats is not None:
        corrected = (floats.astype(np.float64) + gap).astype(np.float32)
        node.replace_input_with(layer.bias, initializer(graph, f"{value.name}_corrected", corrected))
        return
    dequantise, whole, scale = present(_stored(node))
    limit = float(2**31 - 1)
    shifted = np.clip(whole + np.rint(gap / scale), -limit, limit).astype(np.int32)
    name = f"{present(dequantise.inputs[0]).name}_corrected"
    dequantise.replace_input_with(0, initializer(graph, name, shifted))
