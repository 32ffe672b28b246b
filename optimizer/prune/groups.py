"""Dependency groups: which channels, neurons or heads of a graph can be cut, and what goes with each.

Fang, Ma, Song, Mi, Wang: "DepGraph: Towards Any Structural Pruning", 2023. A group begins with the output
channels of one layer and follows links (``links``) as far as they lead: through elementwise operators to the
layers that read the channels, and across residual sums to the other layers that make them. A group that leads
to an input or output of the graph, or to an operator that mixes or does not know the axis, is left alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from optimizer.external import parse
from optimizer.passes._graph import constant
from optimizer.prune.links import NONE, Labels, Link, Shapes, Slot, links_of
from optimizer.quantize.layers import Layer, layers_of
from optimizer.quantize.ranges import with_outputs
from optimizer.runtime import Feeds, optimised_session

_SMALL = 2**16  # numbers in a constant that each of its readers may have a copy of


@dataclass(frozen=True, eq=False)
class Group:
    """``count`` units, and where each is: at every slot, the unit of each place, or ``NONE``."""

    count: int
    slots: dict[Slot, Labels]
    makers: tuple[Layer, ...]
    readers: tuple[Layer, ...]

    @property
    def is_coarse(self) -> bool:
        """Whether each unit is many channels of what makes it: a head."""
        return all(len(layer.rows) > self.count for layer in self.makers)

    def read(self, layer: Layer) -> Labels:
        """The unit of each number that a reader sums over."""
        labels = self.slots[reduced_slot(layer)]
        return np.repeat(labels, layer.rows.shape[1] // len(labels))


class _Fixed(Exception):
    """A group cannot be cut."""


def shapes_of(model: bytes, feeds: Feeds) -> Shapes:
    """Of all values that are computed, on one sample."""
    graph = parse(model).graph
    names = [str(value.name) for node in graph for value in node.outputs if value.name]
    session = optimised_session(with_outputs(model, names))
    values = session.run(names, dict(feeds))
    shapes = {name: np.asarray(value).shape for name, value in zip(names, values, strict=True)}
    return {**shapes, **{name: array.shape for name, array in feeds.items()}}


def groups_of(graph: ir.Graph, shapes: Shapes) -> list[Group]:
    """All groups of two units or more, in the order of the graph; small constants get a reader each."""
    _unshare(graph)
    layers = layers_of(graph)
    links: dict[Slot, list[Link]] = {}
    users: dict[ir.Node, set[Slot]] = {}
    for node in graph:
        users[node] = set()
        for link in links_of(node, shapes):
            for slot in (link.left, link.right):
                links.setdefault(slot, []).append(link)
                users[node].add(slot)
    found: list[Group] = []
    seen: set[Slot] = set()
    for layer in layers:
        start = made_slot(layer)
        if start in seen:
            continue
        search = _Search(links, users)
        try:
            search.follow(start, layer.shape[start[1]])
            group = _group(search, layers)
        except _Fixed:
            group = None
        seen |= search.labels.keys()
        if group is not None:
            found.append(group)
    return found


def made_slot(layer: Layer) -> Slot:
    """Where a layer's weights have its output channels."""
    weight = layer.node.inputs[1]
    if weight is None:
        raise ValueError("a layer has weights")
    return weight, layer.axis


def reduced_slot(layer: Layer) -> Slot:
    """Where a layer's weights have what it sums over."""
    weight, axis = made_slot(layer)
    return weight, 1 - axis


class _Search:
    """The slots that one group has been followed to."""

    def __init__(self, links: dict[Slot, list[Link]], users: dict[ir.Node, set[Slot]]) -> None:
        self._links = links
        self._users = users
        self.labels: dict[Slot, Labels] = {}
        self._parent: list[int] = []

    def follow(self, start: Slot, count: int) -> None:
        """Label all that can be reached."""
        self._parent = list(range(count))
        self.labels[start] = np.arange(count)
        waiting = [start]
        while waiting:
            slot = waiting.pop()
            self._check(slot)
            for link in self._links.get(slot, []):
                for one, other, carry in (
                    (link.left, link.right, link.forward),
                    (link.right, link.left, link.backward),
                ):
                    if one == slot and self._add(other, carry(self.labels[slot], self._together)):
                        waiting.append(other)

    def root(self, unit: int) -> int:
        """The unit that stands for all that are cut together with this one."""
        while self._parent[unit] != unit:
            self._parent[unit] = self._parent[self._parent[unit]]
            unit = self._parent[unit]
        return unit

    def _together(self, labels: Labels) -> None:
        units = {int(unit) for unit in labels}
        if NONE in units and len(units) > 1:
            raise _Fixed  # part of it belongs to nothing that can be cut
        first, *rest = sorted(self.root(unit) for unit in units if unit != NONE) or [0]
        for unit in rest:
            self._parent[unit] = first

    def _add(self, slot: Slot, labels: Labels) -> bool:
        """Put labels at a slot; whether there is something new."""
        before = self.labels.get(slot)
        if before is None:
            self.labels[slot] = labels.copy()
            return True
        if len(before) != len(labels):
            raise _Fixed
        for one, other in zip(before.tolist(), labels.tolist(), strict=True):
            if NONE not in (one, other) and self.root(one) != self.root(other):
                self._together(np.array([one, other]))
        fresh = (before == NONE) & (labels != NONE)
        before[fresh] = labels[fresh]
        return bool(fresh.any())

    def _check(self, slot: Slot) -> None:
        """Everything that makes or reads the value has to know the axis."""
        value = slot[0]
        if value.is_graph_input() or value.is_graph_output():
            raise _Fixed
        producer = value.producer()
        around = [usage.node for usage in value.uses()] + ([producer] if producer is not None else [])
        if any(slot not in self._users.get(node, ()) for node in around):
            raise _Fixed


def _group(search: _Search, layers: Sequence[Layer]) -> Group | None:
    """What the search found, units numbered anew."""
    roots = sorted({search.root(unit) for labels in search.labels.values() for unit in _units(labels)})
    number = {root: index for index, root in enumerate(roots)}
    slots = {
        slot: np.array([NONE if one == NONE else number[search.root(one)] for one in labels.tolist()])
        for slot, labels in search.labels.items()
    }
    makers = tuple(layer for layer in layers if made_slot(layer) in slots)
    readers = tuple(layer for layer in layers if layer.groups == 1 and reduced_slot(layer) in slots)
    if len(roots) < 2 or not readers or not makers:
        return None
    return Group(len(roots), slots, makers, readers)


def _units(labels: Labels) -> list[int]:
    return [one for one in labels.tolist() if one != NONE]


def _unshare(graph: ir.Graph) -> None:
    """Equal constants that were made one tie nothing together."""
    for value in tuple(graph.initializers.values()):
        array = constant(value)
        if array is None or not 1 < array.size <= _SMALL or value.is_graph_output():
            continue
        for number, usage in enumerate(tuple(value.uses())[1:]):
            copy = ir.Value(
                name=f"{value.name}_{number}_apart",
                type=value.type,
                shape=value.shape,
                const_value=ir.tensor(np.array(array), name=f"{value.name}_{number}_apart"),
            )
            graph.register_initializer(copy)
            usage.node.replace_input_with(usage.idx, copy)
