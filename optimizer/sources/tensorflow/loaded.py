"""A model in TensorFlow's process: its graph as ONNX, and TensorFlow's own answers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx
import tensorflow as tf
import tf2onnx.convert
import tf2onnx.tf_loader

from optimizer.errors import InputError
from optimizer.runtime import Array, Feeds

# The one that the lossless passes raise graphs to.
_OPSET = 17
Function = Callable[..., Mapping[str, Any]]
"""From tensors in the order of the inputs to tensors by the name of the output."""


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """``run`` takes and gives arrays by name."""

    proto: onnx.ModelProto
    run: Callable[[Feeds], dict[str, Array]]
    framework: str = "tensorflow"
    class_labels: Sequence[str] = ()


def from_function(title: str, function: Function, inputs: Sequence[tf.TensorSpec]) -> Loaded:
    """Of a function with these inputs, whose names the ONNX graph keeps.

    Raises:
        InputError: it takes strings, or has an operator that ONNX lacks.
    """
    for spec in inputs:
        if spec.dtype == tf.string:
            raise InputError(
                f"{title} takes strings ('{spec.name}') and takes them apart by operators that ONNX lacks: "
                "save the part of it that starts at token ids."
            )
    compiled = tf.function(function, autograph=False)
    proto = _onnx(compiled.get_concrete_function(*inputs), inputs)
    refuse_unknown(title, proto)

    def run(feeds: Feeds) -> dict[str, Array]:
        answers = compiled(
            *(tf.constant(feeds[spec.name], spec.dtype) for spec in inputs if spec.name in feeds)
        )
        return {name: answer.numpy() for name, answer in answers.items()}

    return Loaded(proto=proto, run=run)


def _onnx(traced: Any, inputs: Sequence[tf.TensorSpec]) -> onnx.ModelProto:
    """The variables become constants; what else the function holds (arrays of Normalization) does so, too."""
    ins = [tensor.name for tensor in traced.inputs[: len(inputs)]]
    outs = {tensor.name: name for name, tensor in traced.structured_outputs.items()}
    with tf.device("/cpu:0"):
        frozen = tf2onnx.tf_loader.from_function(traced, ins, list(outs))
        proto, _ = tf2onnx.convert.from_graph_def(
            frozen,
            input_names=ins,
            output_names=list(outs),
            opset=_OPSET,
            tensors_to_rename={**dict(zip(ins, (spec.name for spec in inputs), strict=True)), **outs},
        )
    return proto


def refuse_unknown(title: str, proto: onnx.ModelProto) -> None:
    """Refuse a graph in which tf2onnx left operators of TensorFlow.

    Raises:
        InputError: with their names.
    """
    unknown = {node.op_type for node in proto.graph.node if not onnx.defs.has(node.op_type, node.domain)}
    if unknown:
        raise InputError(
            f"{title} has operators that ONNX lacks ({', '.join(sorted(unknown))}): save it without the "
            "steps that need them, and do these before or after the request."
        )
