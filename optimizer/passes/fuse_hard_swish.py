"""x * clip(x + 3, 0, 6) / 6, written out by exporters of the time before opset 14, into HardSwish."""

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from optimizer.passes._graph import bypass, insert, nodes, scalar, sole_user, split_constant


class FuseHardSwish(ir.passes.InPlacePass):
    """Find HardSwish spelt out and name it.

    1. Add(x, 3), Clip(0, 6), Mul with x, then Div by 6 or Mul by 1/6.
    2. The same with the Div or Mul between Clip and the Mul with x.
    3. Mul of x with HardSigmoid(alpha=1/6, beta=1/2) of x.
    4. Nothing in between may be read by others. Needs opset 14.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Fuse each in turn."""
        modified = False
        if model.opset_imports.get("", 0) < 14:
            return ir.passes.PassResult(model, modified=False)
        for gate in nodes(model.graph, "HardSigmoid", "Clip"):
            x = _hard_sigmoid_input(gate) if gate.op_type == "HardSigmoid" else _relu6_input(gate)
            product = None if x is None else _product(gate, x)
            if product is None:
                continue
            swish = insert(product, "HardSwish", [x])
            bypass(product, swish.outputs[0])
            modified = True
        if modified:
            RemoveUnusedNodesPass()(model)
        return ir.passes.PassResult(model, modified)


def _close(number: float | None, wanted: float) -> bool:
    return number is not None and abs(number - wanted) < 1e-4 * wanted + 1e-9


def _hard_sigmoid_input(gate: ir.Node) -> ir.Value | None:
    alpha, beta = gate.attributes.get_float("alpha", 0.2), gate.attributes.get_float("beta", 0.5)
    return gate.inputs[0] if _close(alpha, 1 / 6) and _close(beta, 0.5) else None


def _relu6_input(clip: ir.Node) -> ir.Value | None:
    """X of Clip(x + 3, 0, 6), else None."""
    if len(clip.inputs) != 3 or not _close(scalar(clip.inputs[2]), 6) or scalar(clip.inputs[1]) != 0:
        return None
    add = clip.inputs[0].producer() if clip.inputs[0] is not None else None
    if add is None or add.op_type != "Add" or add.domain or sole_user(add.outputs[0]) is not clip:
        return None
    parts = split_constant(add)
    return parts[0] if parts and parts[1].size == 1 and _close(float(parts[1].reshape(())), 3) else None


def _is_sixth(node: ir.Node | None) -> bool:
    """Whether a node divides by 6."""
    parts = split_constant(node) if node is not None and node.domain == "" else None
    if node is None or parts is None or parts[1].size != 1:
        return False
    number = float(parts[1].reshape(()))
    if node.op_type == "Div":
        return node.inputs[0] is parts[0] and _close(number, 6)
    return node.op_type == "Mul" and _close(number, 1 / 6)


def _product(gate: ir.Node, x: ir.Value) -> ir.Node | None:
    """The node whose output is x * gate, all factors of 6 included."""
    user = sole_user(gate.outputs[0])
    pending = gate.op_type == "Clip"
    gate_value = gate.outputs[0]
    if pending and user is not None and _is_sixth(user):
        gate_value, pending = user.outputs[0], False
        user = sole_user(gate_value)
    if user is None or user.op_type != "Mul" or user.domain or set(user.inputs) != {gate_value, x}:
        return None
    if not pending:
        return user
    last = sole_user(user.outputs[0])
    return last if _is_sixth(last) else None
