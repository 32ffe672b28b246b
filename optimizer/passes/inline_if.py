"""Branches whose condition is known."""

import onnx_ir as ir

from optimizer.passes._graph import insert, nodes, present, replace, scalar


class InlineIf(ir.passes.InPlacePass):
    """Put the branch that is taken in the place of an If whose condition is constant.

    1. Only Ifs of the main graph; of an If in the branch, the next round takes care.
    2. Values of the branch get new names, because both branches of every If may use the same ones.
    3. What the branch gives goes through Identity, so that it may be an initializer, or a value from outside.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Repeat until no condition is known."""
        modified = False
        while known := [node for node in nodes(model.graph, "If") if scalar(node.inputs[0]) is not None]:
            for node in known:
                _inline(model.graph, node)
            modified = True
        return ir.passes.PassResult(model, modified)


def _inline(graph: ir.Graph, node: ir.Node) -> None:
    taken = "then_branch" if scalar(node.inputs[0]) else "else_branch"
    branch = node.attributes[taken].as_graph()
    results = list(branch.outputs)
    branch.outputs.clear()
    for value in tuple(branch.initializers.values()):
        del branch.initializers[str(value.name)]
        name, number = f"{node.outputs[0].name}_{value.name}", 0
        while name in graph.initializers:
            name, number = f"{name}_{number}", number + 1
        value.name = name
        graph.register_initializer(value)
    inner = list(branch)
    branch.remove(inner)
    for one in inner:
        for output in one.outputs:
            output.name = None
    graph.insert_before(node, inner)
    for output, result in zip(node.outputs, results, strict=True):
        replace(output, insert(node, "Identity", [result]).outputs[0])
    present(node.graph).remove(node, safe=True)
