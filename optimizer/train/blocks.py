"""A graph cut into blocks where few values flow, each of which the teacher's graph knows, too.

Li, Gong, Tan, Yang, Hu, Zhang, Yu, Wang, Gu: "BRECQ: Pushing the Limit of Post-Training Quantization by Block
Reconstruction", 2021: a block is neither a layer, which knows nothing of the others, nor the whole network,
which a few samples cannot tell much about.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import onnx
import onnx_ir as ir
import torch

from optimizer.runtime import Feeds
from optimizer.train.batches import Batch, Teacher, error
from optimizer.train.interpreter import Interpreter

_MOST_BLOCKS = 12
_ALIKE = 0.5  # of the variance
_MOST_VALUES = 3  # that may flow across a cut
_SHAPES = ("Shape", "Size")  # through which nothing is learned
_LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul", "MatMulInteger", "MatMulIntegerToFloat")


@dataclass(frozen=True)
class Block:
    """The nodes from ``start`` up to ``stop``, and the values that they hand on."""

    start: int
    stop: int
    targets: tuple[str, ...]


def blocks_of(interpreter: Interpreter, teacher: Collection[str], most: int = _MOST_BLOCKS) -> list[Block]:
    """All of the graph in at most ``most`` blocks, of about as many layers each.

    ``teacher`` names the values of the teacher's graph. The last block's targets are the graph's outputs.
    """
    nodes = interpreter.nodes
    layers = [node.op_type in _LAYERS and _is_trained(node, interpreter) for node in nodes]
    share = max(sum(layers) / most, 1)
    cuts = _cuts(interpreter, teacher)
    blocks: list[Block] = []
    start = 0
    for stop in sorted(cuts):
        if sum(layers[start:stop]) >= share and sum(layers[stop:]) >= share / 2:
            blocks.append(Block(start, stop, cuts[stop]))
            start = stop
    return [*blocks, Block(start, len(nodes), tuple(interpreter.outputs))]


@torch.no_grad()
def shared(interpreter: Interpreter, teacher: Teacher, original: bytes, feeds: Feeds) -> set[str]:
    """Values that both graphs have, by name; one sample confirms it, as a pass may move what it names."""
    theirs = {name for node in onnx.load_model_from_string(original).graph.node for name in node.output}
    ours = [str(value.name) for node in interpreter.nodes for value in node.outputs]
    names = [name for name in ours if name in theirs]
    batch = Batch((feeds,))
    values = batch.feeds
    interpreter.run(values, 0, len(interpreter.nodes), keep=names)
    (wanted,) = teacher.values(names, [batch])
    return {
        name
        for name in names
        if values[name].shape == wanted[name].shape
        and values[name].is_floating_point()
        and float(error(values[name], wanted[name])) <= _ALIKE
    }


def _cuts(interpreter: Interpreter, teacher: Collection[str]) -> dict[int, tuple[str, ...]]:
    """By place, the values that depend on parameters and are read later; places where these are few."""
    nodes, known = interpreter.nodes, set(interpreter.known)
    last = {name: len(nodes) for name in interpreter.outputs}
    for index, node in enumerate(nodes):
        for value in node.inputs if node.op_type not in _SHAPES else ():
            if value is not None:
                last[str(value.name)] = max(last.get(str(value.name), 0), index)
    depending: set[str] = set()
    live: dict[str, None] = {}
    cuts: dict[int, tuple[str, ...]] = {}
    for index, node in enumerate(nodes):
        read = {str(value.name) for value in node.inputs if value is not None}
        if node.op_type not in _SHAPES and (read & known or read & depending):
            made = [str(value.name) for value in node.outputs if value.name]
            depending.update(made)
            live.update(dict.fromkeys(name for name in made if last.get(name, -1) > index))
        live = {name: None for name in live if last[name] > index}
        if 0 < len(live) <= _MOST_VALUES and all(name in teacher for name in live):
            cuts[index + 1] = tuple(live)
    return cuts


def _is_trained(node: ir.Node, interpreter: Interpreter) -> bool:
    """Whether its weights are parameters, or come from some by one node."""
    for value in node.inputs:
        if value is None:
            continue
        producer = value.producer()
        names: Sequence[ir.Value | None] = [value, *(producer.inputs if producer is not None else ())]
        if any(one is not None and one.name in interpreter.known for one in names):
            return True
    return False
