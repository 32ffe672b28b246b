"""What exporters of scikit-learn write in a domain of its own, in the standard one."""

import numpy as np
import onnx_ir as ir

from optimizer.passes._graph import bypass, initializer, insert

_DOMAIN = "ai.onnx.ml"


class WriteOutScaler(ir.passes.InPlacePass):
    """Replace Scaler by a Mul and an Add, which can go into the weights of what follows.

    1. Of float32 values, with a scale and an offset for each column, or one for all.
    2. A Cast of what it gives to float32, which it is, goes with it.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Replace each in turn."""
        modified = False
        for node in tuple(model.graph):
            data = node.inputs[0] if node.inputs else None
            if (node.domain, node.op_type) != (_DOMAIN, "Scaler") or data is None:
                continue
            if data.dtype != ir.DataType.FLOAT:
                continue
            _write_out(model.graph, node, data)
            modified = True
        return ir.passes.PassResult(model, modified)


def _write_out(graph: ir.Graph, node: ir.Node, data: ir.Value) -> None:
    scale, offset = (
        np.array(node.attributes.get_floats(name, default), np.float32)
        for name, default in (("scale", [1.0]), ("offset", [0.0]))
    )
    result = node.outputs[0]
    factors = initializer(graph, f"{result.name}_scale", scale)
    shifts = initializer(graph, f"{result.name}_shift", -offset * scale)
    scaled = insert(node, "Mul", [data, factors]).outputs[0]
    shifted = insert(node, "Add", [scaled, shifts]).outputs[0]
    shifted.dtype = ir.DataType.FLOAT
    bypass(node, shifted)
    for usage in tuple(shifted.uses()):
        cast = usage.node
        is_cast = (cast.op_type, cast.domain) == ("Cast", "") and not cast.outputs[0].is_graph_output()
        if is_cast and cast.attributes["to"].value == ir.DataType.FLOAT:
            cast.outputs[0].replace_all_uses_with(shifted)
            graph.remove(cast, safe=True)
