"""Residual blocks: whole layers that can go, so that a graph gets shallower.

A block is what a residual sum adds to the value that goes around it: without it, that value passes as it is.
Where a norm or an activation follows the sum, and one of the same kind made the value, it goes, too. So of a
transformer's encoder layer attention is one block and the feed-forward part another, each with its norm.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import onnx_ir as ir

from optimizer.external import parse
from optimizer.normalise import tidy
from optimizer.passes._graph import replace, sole_user, split_constant
from optimizer.prune.links import Shapes
from optimizer.quantize.layers import Layer, layers_of


@dataclass(frozen=True, eq=False)
class Block:
    """Without it ``end`` is ``start``; ``layers`` are in it, at least one."""

    start: ir.Value
    end: ir.Value
    layers: tuple[Layer, ...]

    @property
    def name(self) -> str:
        """The same in each copy of the graph."""
        return str(self.end.name)


def residual_blocks(graph: ir.Graph, shapes: Shapes) -> list[Block]:
    """All, in the order of the graph; one that holds others comes behind them."""
    layers = {layer.node: layer for layer in layers_of(graph)}
    found = (_block(node, layers, shapes) for node in graph if (node.op_type, node.domain) == ("Add", ""))
    return [block for block in found if block is not None]


def without(model: bytes, names: Collection[str], shapes: Shapes) -> bytes:
    """The graph without the blocks of these names; what stands in for one has the name of its end."""
    parsed = parse(model)
    blocks = [block for block in residual_blocks(parsed.graph, shapes) if block.name in names]
    for block in reversed(blocks):  # as the start of one is the end of the one before
        replace(block.end, block.start)
    for step in tidy():
        parsed = step(parsed).model
    data: bytes = ir.to_proto(parsed).SerializeToString(deterministic=True)
    return data


def _block(add: ir.Node, layers: Mapping[ir.Node, Layer], shapes: Shapes) -> Block | None:
    if len(add.inputs) != 2 or split_constant(add) is not None:
        return None
    one, other = add.inputs
    for start, branch in ((one, other), (other, one)):
        if start is None or branch is None:
            continue
        end = _end(start, add)
        inside = _between(start, branch)
        held = tuple(layer for node, layer in layers.items() if node in inside)
        keeps_its_name = start.producer() is None or start.is_graph_output()
        if end.is_graph_output() and keeps_its_name:
            continue
        if held and shapes.get(str(start.name)) == shapes.get(str(end.name)):
            return Block(start, end, held)
    return None


def _end(start: ir.Value, add: ir.Node) -> ir.Value:
    """What the sum gives, or the norm or activation behind it that ``start`` had already."""
    end = add.outputs[0]
    after, maker = sole_user(end), start.producer()
    if after is None or maker is None or (after.op_type, after.domain) != (maker.op_type, maker.domain):
        return end
    return after.outputs[0] if after.inputs[0] is end and len(after.outputs) == 1 else end


def _between(start: ir.Value, end: ir.Value) -> set[ir.Node]:
    """The nodes on all ways from one value to another."""
    behind: set[ir.Node] = set()
    users = [usage.node for usage in start.uses()]
    while users:
        node = users.pop()
        if node not in behind:
            behind.add(node)
            users.extend(usage.node for value in node.outputs for usage in value.uses())
    found: set[ir.Node] = set()
    makers = [end.producer()]
    while makers:
        maker = makers.pop()
        if maker is not None and maker in behind and maker not in found:
            found.add(maker)
            makers.extend(value.producer() for value in maker.inputs if value is not None)
    return found
