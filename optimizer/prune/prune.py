"""A graph with fewer channels, neurons and heads, that answers as nearly as it can without training."""

from collections.abc import Mapping, Sequence

import onnx_ir as ir

from optimizer.external import parse
from optimizer.normalise import tidy
from optimizer.prune.choose import Matrix, Order, choose, order_of
from optimizer.prune.compensate import compensate
from optimizer.prune.cut import cut
from optimizer.prune.groups import groups_of, made_slot, shapes_of
from optimizer.quantize.gptq import gptq
from optimizer.runtime import Feeds

_MOST_SAMPLES = 512


class Pruner:
    """One graph, and in which order its units go; ``groups`` is empty where nothing can be cut."""

    def __init__(self, model: bytes, samples: Sequence[Feeds], seed: int) -> None:
        """``samples``: unlabelled data, of which some hundreds are used."""
        self._model = model
        self._samples = samples[:_MOST_SAMPLES]
        self._seed = seed
        self.shapes = shapes_of(model, samples[0])
        self._parsed = parse(model)
        self.groups = groups_of(self._parsed.graph, self.shapes)
        self._orders: list[Order] = []

    @property
    def readers(self) -> list[str]:
        """The layers that read what can be cut."""
        return sorted({layer.name for group in self.groups for layer in group.readers})

    def order(self, senses: Mapping[str, Matrix]) -> None:
        """Find out what each unit is worth.

        ``senses`` (``train.importance``) says by layer which errors of what it gives matter. Without, they
        count as shares of what it gives.
        """
        read = gptq(self._model, self.readers, self._samples, self._seed)
        orders = (order_of(group, read, senses) for group in self.groups)
        self._orders = [order for order in orders if order is not None]

    def pruned(self, share: float) -> bytes | None:
        """The graph without ``share`` of each group's units, refitted; None where none can go."""
        chosen = choose(self._orders, share)
        if not chosen:
            return None
        # Cutting changes a graph in place: of a copy, what goes is named as in the first one.
        model = parse(self._model)
        groups = groups_of(model.graph, self.shapes)
        twins = {id(one): other for one, other in zip(self.groups, groups, strict=True)}
        cuts = [(twins[id(group)], kept) for group, kept in chosen]
        slots = {layer.name: made_slot(layer) for group, _ in cuts for layer in group.readers}
        left = cut(model.graph, cuts)
        for step in tidy():
            model = step(model).model
        data: bytes = ir.to_proto(model).SerializeToString(deterministic=True)
        kept_of = {name: left.get(slot) for name, slot in slots.items()}
        return compensate(self._model, data, kept_of, self._samples)
