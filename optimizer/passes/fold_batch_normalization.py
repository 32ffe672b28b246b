"""BatchNormalization into the convolution before it."""

import numpy as np
import onnx_ir as ir

from optimizer.passes._graph import Floats, bypass, constant, initializer, nodes, present, sole_user, weights


class FoldBatchNormalization(ir.passes.InPlacePass):
    """Fold an inference-mode BatchNormalization into the Conv whose output nobody else reads.

    1. y = scale * (conv(x) - mean) / sqrt(var + epsilon) + bias is conv(x) with W' = W * g and
       b' = (b - mean) * g + bias, where g = scale / sqrt(var + epsilon), by output channel.
    2. All parameters and the convolution's weights must be constant.
    3. A BatchNormalization that trains, or whose statistics are read, is left alone.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Fold each in turn."""
        modified = False
        for norm in nodes(model.graph, "BatchNormalization"):
            conv = norm.inputs[0].producer() if norm.inputs[0] is not None else None
            if (
                conv is None
                or conv.op_type != "Conv"
                or conv.domain
                or sole_user(conv.outputs[0]) is not norm
            ):
                continue
            if len(norm.outputs) > 1 or norm.attributes.get_int("training_mode", 0) == 1:
                continue
            modified |= _fold(model.graph, conv, norm)
        return ir.passes.PassResult(model, modified)


def _fold(graph: ir.Graph, conv: ir.Node, norm: ir.Node) -> bool:
    weight = weights(conv.inputs[1])
    parameters = [constant(value) for value in norm.inputs[1:5]]
    bias_value = conv.inputs[2] if len(conv.inputs) > 2 else None
    bias = constant(bias_value)
    if weight is None or any(p is None for p in parameters) or (bias_value is not None and bias is None):
        return False
    scale, shift, mean, variance = (np.asarray(p, np.float64) for p in parameters)
    gain = scale / np.sqrt(variance + norm.attributes.get_float("epsilon", 1e-5))
    old_bias = np.zeros_like(mean) if bias is None else bias.astype(np.float64)
    set_conv(
        graph, conv, weight * gain.reshape(-1, *[1] * (weight.ndim - 1)), (old_bias - mean) * gain + shift
    )
    bypass(norm, conv.outputs[0])
    return True


def set_conv(graph: ir.Graph, conv: ir.Node, weight: Floats, bias: Floats | None) -> None:
    """Give a Conv new weights (and a bias), in the type of the old ones, under new names."""
    old = present(weights(conv.inputs[1]))
    conv.replace_input_with(
        1, initializer(graph, f"{present(conv.inputs[1]).name}_folded", weight.astype(old.dtype))
    )
    if bias is not None:
        value = initializer(graph, f"{conv.outputs[0].name}_bias", bias.astype(old.dtype))
        if len(conv.inputs) < 3:
            conv.resize_inputs(3)
        conv.replace_input_with(2, value)
