"""Transposes before a flattened product, which rows of the weights in another order make superfluous."""

import numpy as np
import onnx_ir as ir

from optimizer.passes._graph import Floats, constant, initializer, nodes, present, sole_user, weights


class FoldTransposes(ir.passes.InPlacePass):
    """Remove Transpose, Reshape to [batch, values], and MatMul or Gemm: the weights' rows take its order.

    So ends every image classifier of TensorFlow that flattens, for its values lie channels last.

    1. The first axis stays, and Reshape flattens all others, whose lengths are known.
    2. Nothing else reads the transposed or the flattened values.
    3. Weights [values, n] are the second operand (of a Gemm perhaps transposed), and constant.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Fold each."""
        folded = [_fold(node) for node in nodes(model.graph, "Transpose")]
        return ir.passes.PassResult(model, modified=any(folded))


def _fold(node: ir.Node) -> bool:
    reshape = sole_user(node.outputs[0])
    if reshape is None or reshape.op_type != "Reshape" or reshape.domain:
        return False
    source, axes = present(node.inputs[0]), node.attributes.get_ints("perm", [])
    shape = constant(reshape.inputs[1])
    product = sole_user(reshape.outputs[0])
    rows = _rows(product, reshape.outputs[0])
    if source.shape is None or shape is None or rows is None or product is None or list(axes[:1]) != [0]:
        return False
    lengths = [axis for axis in list(source.shape)[1:] if isinstance(axis, int)]
    if len(lengths) != len(axes) - 1 or shape.size != 2 or int(np.prod(lengths)) != len(rows):
        return False
    if shape[1] != len(rows) and not (shape[1] == -1 and shape[0] == 0):
        return False
    order = [axis - 1 for axis in axes[1:]]
    given = rows.reshape(*(lengths[axis] for axis in order), rows.shape[1])
    ours = given.transpose(*np.argsort(order), len(order)).reshape(rows.shape)
    is_turned = product.attributes.get_int("transB", 0) == 1
    array = np.ascontiguousarray(ours.T if is_turned else ours)
    name = f"{present(product.inputs[1]).name}_reordered"
    product.replace_input_with(1, initializer(present(product.graph), name, array))
    reshape.replace_input_with(0, source)
    present(node.graph).remove(node, safe=True)
    return True


def _rows(product: ir.Node | None, value: ir.Value) -> Floats | None:
    """The weights [values, n], a row for each of the values of ``value``."""
    if product is None or product.domain or product.op_type not in ("Gemm", "MatMul"):
        return None
    if product.inputs[0] is not value or product.attributes.get_int("transA", 0) == 1:
        return None
    array = weights(product.inputs[1])
    if array is None or array.ndim != 2:
        return None
    return array.T if product.attributes.get_int("transB", 0) == 1 else array
