"""A shallower graph, that answers as nearly as it can without training."""

import math
from collections.abc import Sequence

import numpy as np

from optimizer.external import parse
from optimizer.prune.compensate import compensate
from optimizer.prune.groups import shapes_of
from optimizer.prune.residual import Block, residual_blocks, without
from optimizer.quantize.layers import Layer, layers_of
from optimizer.runtime import Array, Feeds, optimised_session

_ORDERED_ON = 32  # samples
_REFITTED_ON = 256
_TRIED = 4  # blocks, for the next one to go; the others cost more even alone
_SMALLEST = 1e-12


class Shallower:
    """One graph; ``blocks`` is empty where none of it can go whole."""

    def __init__(self, model: bytes, samples: Sequence[Feeds]) -> None:
        """``samples``: unlabelled data, of which some hundreds are used."""
        self._model = model
        self._samples = samples[:_REFITTED_ON]
        self._shapes = shapes_of(model, samples[0])
        graph = parse(model).graph
        self._layers = [layer.name for layer in layers_of(graph)]
        self.blocks = residual_blocks(graph, self._shapes)
        self._answers = _answers(model, self._samples[:_ORDERED_ON]) if self.blocks else []
        self._order: list[Block] = []
        self._alone: dict[Block, float] = {}

    def without(self, count: int) -> bytes:
        """The graph without that many blocks, or all that can go."""
        return self._cut(self._first(count))

    def refitted(self, count: int) -> bytes:
        """The same, the layers behind the first of them refitted, one after the other."""
        gone = self._first(count)
        inside = {layer.name for block in gone for layer in block.layers}
        first = min(self._layers.index(name) for name in inside)
        behind = {name: None for name in self._layers[first:] if name not in inside}
        return compensate(self._model, self._cut(gone), behind, self._samples)

    def _cut(self, gone: Sequence[Block]) -> bytes:
        return without(self._model, [block.name for block in gone], self._shapes)

    def _first(self, count: int) -> list[Block]:
        """Blocks in the order in which they go: each the one whose loss costs least for what all save."""
        while len(self._order) < count:
            inside = {layer.name for block in self._order for layer in block.layers}
            left = [
                block for block in self.blocks if not inside.issuperset(layer.name for layer in block.layers)
            ]
            if not left:
                break
            if not self._alone:
                self._alone = {block: self._price([block]) for block in left}
            tried = sorted(left, key=self._alone.__getitem__)[:_TRIED]
            self._order.append(min(tried, key=lambda block: self._price([*self._order, block])))
        return self._order[:count]

    def _price(self, gone: Sequence[Block]) -> float:
        """The error of the answers without these blocks, for each product that they save."""
        answers = _answers(self._cut(gone), self._samples[: len(self._answers)])
        pairs = [
            pair for both in zip(answers, self._answers, strict=True) for pair in zip(*both, strict=True)
        ]
        error = float(np.mean([_error(found, wanted) for found, wanted in pairs]))
        saved = {layer.name: self._products(layer) for block in gone for layer in block.layers}
        return error / sum(saved.values()) if math.isfinite(error) else math.inf

    def _products(self, layer: Layer) -> int:
        return math.prod(self._shapes[layer.name]) * int(layer.rows.shape[1])


def _answers(model: bytes, samples: Sequence[Feeds]) -> list[list[Array]]:
    session = optimised_session(model)
    return [session.run(None, dict(feeds)) for feeds in samples]


def _error(found: Array, wanted: Array) -> float:
    """The squared error as a share of the variance; of whole numbers and words, the share of wrong ones."""
    if wanted.dtype.kind != "f":
        return float(np.mean(found != wanted))
    with np.errstate(all="ignore"):  # what is not finite is told apart later
        return float(np.square(found - wanted).mean() / (wanted.var() + _SMALLEST))
