"""Convolutions as matrix products: these have their channels last."""

import onnx_ir as ir

from optimizer.passes._graph import present, replace, sole_user, weights

# What acts on each element alone, and so on either order of the axes.
UNARY = {"HardSwish", "Relu", "HardSigmoid", "Sigmoid", "Tanh", "LeakyRelu", "Elu", "Softplus", "Gelu"}
SCALAR = {"Add", "Mul", "Sub", "Div", "Clip"}


def put_in_place(conv: ir.Node, product: ir.Value) -> None:
    """Let ``product``, whose channels are last, stand for the convolution's output.

    Element-wise nodes after it that nobody else reads are put before the Transpose back, which ONNX Runtime
    then merges with its own reordering.
    """
    end = conv
    while (user := sole_user(end.outputs[0])) is not None and _is_elementwise(user):
        end = user
    old = conv.outputs[0]
    if end is conv:
        end_value = product
    else:
        old.replace_all_uses_with(product)
        end_value = end.outputs[0]
    rank = len(present(weights(conv.inputs[1])).shape)
    back = ir.node("Transpose", [None], {"perm": [0, rank - 1, *range(1, rank - 1)]})
    graph = present(conv.graph)
    graph.insert_after(end if end is not conv else present(product.producer()), back)
    node: ir.Node | None = end if end is not conv else None
    replace(old if node is None else end_value, back.outputs[0])
    if node is not None:
        end_value.name = f"{back.outputs[0].name}_last"
        product.name, old.name = old.name, f"{old.name}_replaced"
    back.replace_input_with(0, end_value)
    while node is not None and node is not product.producer():
        node.outputs[0].shape = None
        node = node.inputs[0].producer() if node.inputs[0] is not None else None
    graph.remove(conv, safe=True)


def _is_elementwise(node: ir.Node) -> bool:
    if node.domain or len(node.outputs) != 1:
        return False
    others = [weights(value) for value in node.inputs[1:] if value is not None]
    return node.op_type in UNARY or (
        node.op_type in SCALAR
        and all(other is not None and other.size == 1 and other.ndim <= 1 for other in others)
    )
