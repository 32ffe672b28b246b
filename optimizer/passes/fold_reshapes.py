"""Reshape to a shape that is computed, although only the batch in it is not known before."""

import numpy as np
import onnx_ir as ir

from optimizer.passes._graph import constant, initializer, nodes, present


class FoldReshapes(ir.passes.InPlacePass):
    """Give Reshape a constant shape with one -1, as exporters compute it from the input's own shape.

    1. The shape is a Concat of constants and of one computed part of one element, perhaps cast.
    2. No constant is 0 or -1, which mean something else. So the computed element can only be what the others
       leave, and that is what -1 stands for.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Fold each; what computed the shape is removed as unused."""
        modified = False
        for node in nodes(model.graph, "Reshape"):
            shape = _with_one_free(node.inputs[1])
            if shape is not None and not node.attributes.get_int("allowzero", 0):
                hint = f"{node.outputs[0].name}_shape"
                node.replace_input_with(1, initializer(present(node.graph), hint, shape))
                modified = True
        return ir.passes.PassResult(model, modified)


def _with_one_free(value: ir.Value | None) -> np.ndarray[tuple[int], np.dtype[np.int64]] | None:
    node = value.producer() if value is not None else None
    while node is not None and node.op_type == "Cast" and not node.domain:
        node = present(node.inputs[0]).producer()
    if node is None or node.op_type != "Concat" or node.domain:
        return None
    parts = [constant(part) for part in node.inputs]
    computed = [part for part, known in zip(node.inputs, parts, strict=True) if known is None]
    if len(computed) != 1 or present(computed[0]).shape != ir.Shape([1]):
        return None
    shape = np.concatenate([np.array([-1]) if known is None else known.reshape(-1) for known in parts])
    return shape.astype(np.int64) if (shape > 0).sum() == shape.size - 1 else None
