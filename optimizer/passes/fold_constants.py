"""Compute at once what does not depend on the input."""

import onnx_ir as ir
import onnxruntime as ort

from optimizer.passes._graph import Array, constant, initializer, nodes, present, replace
from optimizer.runtime import quiet_options

# Their answer differs from run to run.
_RANDOM = {
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
    "Multinomial",
    "Bernoulli",
}
# Weights that are stored small on purpose.
_STORAGE = {"DequantizeLinear"}
_MAX_GROWTH_BYTES = 64 * 1024


class FoldConstants(ir.passes.InPlacePass):
    """Replace nodes whose inputs are all constant by their outputs, as ONNX Runtime computes them.

    1. Only nodes of the standard domain, of the main graph, without subgraphs.
    2. Nothing random, and no DequantizeLinear: it is how weights are stored small.
    3. A result that is larger than its inputs by more than 64 KiB stays computed.
    4. A node that ONNX Runtime does not run by itself is left alone.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Fold in the order of the graph, so that chains fold whole."""
        modified = False
        for node in nodes(model.graph):
            inputs = [constant(value) for value in node.inputs]
            if not _foldable(node, inputs):
                continue
            known = [array for array in inputs if array is not None]
            results = _compute(node, model)
            budget = sum(array.nbytes for array in known) + _MAX_GROWTH_BYTES
            if results is None or sum(result.nbytes for result in results) > budget:
                continue
            for output, result in zip(node.outputs, results, strict=True):
                folded = initializer(model.graph, f"{output.name}_folded", result)
                if output.is_graph_output():
                    folded = _identity(node, folded)
                replace(output, folded)
            model.graph.remove(node, safe=True)
            modified = True
        return ir.passes.PassResult(model, modified)


def _foldable(node: ir.Node, inputs: list[Array | None]) -> bool:
    return (
        node.op_type not in _RANDOM | _STORAGE
        and not (node.op_type == "Identity" and node.outputs[0].is_graph_output())
        and not any(
            attr.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)
            for attr in node.attributes.values()
        )
        and all(value is None or array is not None for value, array in zip(node.inputs, inputs, strict=True))
    )


def _identity(before: ir.Node, value: ir.Value) -> ir.Value:
    """A graph's output must be some node's, not an initializer."""
    node = ir.node("Identity", [value])
    present(before.graph).insert_before(before, node)
    return node.outputs[0]


def _compute(node: ir.Node, model: ir.Model) -> list[Array] | None:
    """Run a model of this one node."""
    feeds = {value: constant(value) for value in node.inputs if value is not None}
    copies = {
        value: ir.Value(
            name=f"i{i}", const_value=ir.tensor(array), shape=ir.Shape(array.shape), type=_type(array)
        )
        for i, (value, array) in enumerate(feeds.items())
        if array is not None
    }
    alone = ir.Node(
        "",
        node.op_type,
        [None if value is None else copies[value] for value in node.inputs],
        list(node.attributes.values()),
        outputs=[ir.Value(name=f"o{i}") for i in range(len(node.outputs))],
    )
    graph = ir.Graph(
        [],
        alone.outputs,
        nodes=[alone],
        initializers=list(copies.values()),
        name="one",
        opset_imports=model.opset_imports,
    )
    try:
        data = ir.to_proto(ir.Model(graph, ir_version=model.ir_version)).SerializeToString()
        return list(ort.InferenceSession(data, quiet_options()).run(None, {}))
    except Exception:  # noqa: BLE001 - onnxruntime raises many types; whatever it is, the node just stays
        return None


def _type(array: Array) -> ir.TensorType:
    return ir.TensorType(ir.DataType.from_numpy(array.dtype))
