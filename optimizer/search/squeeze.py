"""Fewer bytes at the same speed: what a plan for speed leaves on the table."""

import math
from collections.abc import Sequence

from optimizer.search.chain import Choice, Layers
from optimizer.search.layers import LayerFigures

_SLOWER = 0.01


def squeezed(layers: Layers, rows: Sequence[LayerFigures], spare: float) -> Layers:
    """The plan with smaller forms of layers, those that save most bytes first.

    All of them together may cost 1 % of the layers' time, and add ``spare`` to the plan's error.
    """
    by_layer: dict[str, dict[Choice, LayerFigures]] = {}
    for row in rows:
        by_layer.setdefault(row.layer, {})[row.treatment] = row
    now = {layer: choices[layers.get(layer)] for layer, choices in by_layer.items()}
    patience = _SLOWER * math.fsum(row.ms for row in now.values())
    changes = [
        (row, now[row.layer].size_bytes - row.size_bytes)
        for row in rows
        if row.size_bytes < now[row.layer].size_bytes
    ]
    for row, _ in sorted(changes, key=lambda change: (-change[1], change[0].error)):
        old = now[row.layer]
        slower, worse = max(row.ms - old.ms, 0.0), max(row.error - old.error, 0.0)
        if row.size_bytes < old.size_bytes and slower <= patience and worse <= spare:
            now[row.layer] = row
            patience, spare = patience - slower, spare - worse
    return {layer: row.treatment for layer, row in now.items() if row.treatment is not None}
