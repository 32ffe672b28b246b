"""The requests that show best what moved: while the drift alarm stands, and as far as they were captured."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from handlers.monitor.pictures import picture_of
from handlers.monitor.watched import Example, Place, Watched
from monitoring.captures import Batch
from monitoring.explain import explain
from monitoring.monitor import Monitor

_MOST = 8
_AGAIN_S = 3600.0  # they are read from their objects anew
_VALUES = 12  # of a tensor that are shown
_LETTERS = 200


class Examples:
    """Reads them, a few, from the objects that hold them.

    Args:
        batches_of: an object's requests, by its key.
    """

    def __init__(self, batches_of: Callable[[str], Iterable[Batch]]) -> None:
        self._batches_of = batches_of

    def refresh(self, state: Watched, monitor: Monitor, now: float) -> None:
        """Keep a few while the alarm stands, and none else: they are payload."""
        if monitor.alarm is None:
            state.examples, state.examples_at = [], 0.0
            return
        if state.examples and now - state.examples_at < _AGAIN_S:
            return
        first = monitor.state.evidence.count - len(state.places)
        numbers = [number for moved in explain(monitor) for number in moved.examples[:3]]
        places = [state.places[number - first] for number in dict.fromkeys(numbers) if number >= first]
        chosen = list({place.id: place for place in places}.values())[:_MOST]
        found = self._read(chosen)
        state.examples = [found[place.id] for place in chosen if place.id in found]
        state.examples_at = now

    def _read(self, places: list[Place]) -> dict[str, Example]:
        found: dict[str, Example] = {}
        for key in dict.fromkeys(place.key for place in places):
            times = {place.id: place.time for place in places if place.key == key}
            for batch in self._batches_of(key):
                for row, inference_id in enumerate(batch.ids):
                    if inference_id in times and inference_id not in found:
                        found[inference_id] = _example(batch, row, times[inference_id])
                if times.keys() <= found.keys():
                    break
        return found


def _example(batch: Batch, row: int, moment: float) -> Example:
    values, pictures = {}, {}
    for name, rows in batch.inputs.items():
        one = np.asarray(rows[row])
        picture = picture_of(one)
        if picture is None:
            values[name] = _words(one.ravel()[: _VALUES + 1].tolist(), one.size)
        else:
            pictures[name] = picture
    for name, rows in batch.outputs.items():
        one = np.asarray(rows[row])
        values[f"→ {name}"] = _words(one.ravel()[: _VALUES + 1].tolist(), one.size)
    return Example(id=batch.ids[row][:_LETTERS], time=moment, values=values, pictures=pictures)


def _words(values: Iterable[Any], size: int) -> str:
    texts = [f"{value:.4g}" if isinstance(value, float) else str(value)[:_LETTERS] for value in values]
    return ", ".join(texts[:_VALUES]) + (f", … of {size}" if size > _VALUES else "")
