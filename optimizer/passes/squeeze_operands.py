"""Constant operands without leading axes of length 1, as ONNX Runtime's fusions of biases ask for them."""

import onnx_ir as ir

from optimizer.passes._graph import constant, initializer, nodes, present

_OPERATORS = ("Add", "Sub", "Mul", "Div")


class SqueezeOperands(ir.passes.InPlacePass):
    """Remove leading axes of length 1 from constant operands of Add, Sub, Mul and Div.

    1. The other operand is known to have as many axes or more, so that the result keeps its own.
    2. One axis stays.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Look at both operands of each."""
        modified = False
        for node in nodes(model.graph, *_OPERATORS):
            for index in (0, 1):
                value, other = present(node.inputs[index]), present(node.inputs[1 - index])
                array = constant(value)
                if array is None or other.shape is None or other.shape.rank() < array.ndim:
                    continue
                small = array
                while small.ndim > 1 and small.shape[0] == 1:
                    small = small[0]
                if small.ndim < array.ndim:
                    name = f"{value.name}_squeezed"
                    node.replace_input_with(index, initializer(model.graph, name, small))
                    modified = True
        return ir.passes.PassResult(model, modified)
