"""The cleaned model with an error as another input for some of its values: what do they do to the answers?

It is made once; what is tried then costs a run: no model is built, no session created, nothing evaluated.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import onnx

from optimizer.runtime import Array, Feeds, optimised_session

_THREADS = 2
_RAW, _ERROR, _CHANGED = "#raw", "#error", "#changed"

T = TypeVar("T")


class Probe:
    """Takes an error for each of ``changed``, the names of float32 values."""

    def __init__(
        self,
        clean: onnx.ModelProto,
        changed: Collection[str],
        outputs: Sequence[str],
        seen: Collection[str] = (),
    ) -> None:
        """``outputs`` are the answers; ``values`` shows the values ``changed`` and ``seen`` as well."""
        self._outputs = list(outputs)
        self._inputs = {value.name for value in clean.graph.input}
        self._seen = [name for name in dict.fromkeys([*changed, *seen]) if name not in self._inputs]
        self._zeros: Feeds = {name + _ERROR: np.zeros((), np.float32) for name in changed}
        model = onnx.ModelProto()
        model.CopyFrom(clean)
        _add_errors(model.graph, changed)
        known = {value.name for value in model.graph.output}
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in self._seen if name not in known)
        self._session = optimised_session(model.SerializeToString())

    def values(self, feeds: Feeds) -> dict[str, Array]:
        """What the model makes of a sample: its inputs, the answers and the values to be seen."""
        names = [*self._outputs, *self._seen]
        return {**feeds, **dict(zip(names, self._session.run(names, {**feeds, **self._zeros}), strict=True))}

    def distance(self, values: Mapping[str, Array], errors: Mapping[str, Array]) -> float:
        """How far the answers move when these errors are added; the output that moves most counts."""
        feeds = {name: values[name] for name in self._inputs if name in values}
        given = {f"{name}{_ERROR}": error for name, error in errors.items()}
        answers = self._session.run(self._outputs, {**feeds, **self._zeros, **given})
        return max(
            _distance(answer, values[name]) for name, answer in zip(self._outputs, answers, strict=True)
        )


def over_samples(
    of_sample: Callable[[Feeds], T], samples: Sequence[Feeds], most: int, until: float
) -> list[T]:
    """``of_sample`` of some samples, two at a time.

    As many as, going by the first two, are done before the time ``until``: ``most``, or half of them, or a
    quarter and so on, so that the same number comes out on a machine that is not quite as fast.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        started = time.monotonic()
        found = list(pool.map(of_sample, samples[:_THREADS]))
        took = time.monotonic() - started
        while most > _THREADS and started + took * most / _THREADS > until:
            most //= 2
        return [*found, *pool.map(of_sample, samples[_THREADS:most])]


def _add_errors(graph: onnx.GraphProto, changed: Collection[str]) -> None:
    """Put an Add behind each value; what makes the value gives it under another name."""
    inputs = {value.name for value in graph.input} & set(changed)
    nodes = [_add(name, name, name + _CHANGED) for name in sorted(inputs)]
    for node in graph.node:
        node.input[:] = [name + _CHANGED if name in inputs else name for name in node.input]
        made = [name for name in node.output if name in changed]
        node.output[:] = [name + _RAW if name in changed else name for name in node.output]
        nodes += [node, *(_add(name, name + _RAW, name) for name in made)]
    del graph.node[:]
    graph.node.extend(nodes)
    graph.input.extend(
        onnx.helper.make_tensor_value_info(name + _ERROR, onnx.TensorProto.FLOAT, None)
        for name in sorted(changed)
    )


def _add(name: str, value: str, result: str) -> onnx.NodeProto:
    return onnx.helper.make_node("Add", [value, name + _ERROR], [result])


def _distance(answer: Array, expected: Array) -> float:
    """Squared error by squared size; for what are no floats, the share that differs."""
    if expected.dtype.kind != "f":
        return float(np.mean(answer != expected))
    gap = answer.astype(np.float64) - expected
    total = float(np.square(gap).sum() / max(float(np.square(expected.astype(np.float64)).sum()), 1e-30))
    return total if np.isfinite(total) else np.inf
