"""An ONNX graph as a torch module: each node is run by torch, initializers are parameters or constants.

Quantised graphs as well as float ones: whole numbers are held as floats, rounding lets gradients pass. So
what is trained is the very graph that will be served.
"""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor, nn

from optimizer.errors import first_line
from optimizer.external import parse
from optimizer.passes._graph import constant
from optimizer.runtime import Array, Feeds, optimised_session, run
from optimizer.train.errors import UnsupportedOp
from optimizer.train.operators import OPERATORS, Call, Rounding, as_tensor
from optimizer.train.parameters import Parameter, parameters_of

# Of the largest magnitude of an output: what float sums in another order may differ by. Outputs that are all
# next to nothing differ by more: ONNX Runtime's sigmoid ends at 1e-8.
_TOLERANCE, _NEXT_TO_NOTHING = 1e-3, 1e-3

Values = dict[str, Tensor]


class Interpreter(nn.Module):
    """A graph as a function of its inputs and its parameters."""

    def __init__(self, model: bytes, *, saturates: bool) -> None:
        """Take in a serialised model; ``saturates``: see ``parameters_of``.

        Raises:
            UnsupportedOp: torch has nothing here for some of its operators.
        """
        super().__init__()
        graph = parse(model).graph
        self.nodes: list[ir.Node] = list(graph)
        _check(self.nodes)
        self.inputs = [str(value.name) for value in graph.inputs]
        self.outputs = [str(value.name) for value in graph.outputs]
        self.rounding = Rounding()
        self.known = parameters_of(graph, saturates=saturates)
        self.trained = nn.ModuleList(self.known.values())
        self.constants = {
            str(value.name): as_tensor(array)
            for value in graph.initializers.values()
            if value.name not in self.known and (array := constant(value)) is not None
        }
        self.samples = 1
        self._last_use = _last_uses(self.nodes)

    def forward(self, feeds: Mapping[str, Tensor]) -> Values:
        """The outputs, by name."""
        values = dict(feeds)
        self.run(values, 0, len(self.nodes), keep=self.outputs)
        return {name: self.read(values, name) for name in self.outputs}

    def run(self, values: Values, start: int, stop: int, keep: Collection[str] = ()) -> None:
        """Run the nodes from ``start`` up to ``stop``; values that nothing after them reads are let go.

        ``values`` holds the graph's inputs, or what is live at ``start``; ``keep`` names what stays anyway.
        """
        for index in range(start, stop):
            node = self.nodes[index]
            inputs = [None if one is None else self.read(values, str(one.name)) for one in node.inputs]
            call = Call(node, self.rounding, self.samples)
            results = OPERATORS[node.domain, node.op_type](call, *inputs)
            results = results if isinstance(results, tuple) else (results,)
            for value, result in zip(node.outputs, results, strict=False):
                values[str(value.name)] = result
            for name in self._last_use.get(index, ()):
                if name not in keep:
                    values.pop(name, None)

    def read(self, values: Values, name: str) -> Tensor:
        """A value by name, computed or constant. Parameters are kept among the values: one tensor for all."""
        if name not in values and name in self.known:
            values[name] = self.known[name]()
        return values[name] if name in values else self.constants[name]

    def parameters_between(self, start: int, stop: int) -> list[Parameter]:
        """Those that only the nodes from ``start`` up to ``stop`` read, in their order.

        Others, equal constants that were made one, would change what was trained before.
        """
        elsewhere = set(_read(self.nodes[:start])) | set(_read(self.nodes[stop:]))
        names = dict.fromkeys(_read(self.nodes[start:stop]))
        return [self.known[name] for name in names if name in self.known and name not in elsewhere]


def as_feeds(samples: Sequence[Feeds]) -> Values:
    """One sample, or several of equal shapes as a batch along the first axis."""
    return {name: as_tensor(np.concatenate([one[name] for one in samples])) for name in samples[0]}


@torch.no_grad()
def largest_difference(interpreter: Interpreter, model: bytes, samples: Sequence[Feeds]) -> float:
    """How far its outputs are from ONNX Runtime's, as a share of the largest magnitude of each output."""
    session, worst = optimised_session(model), 0.0
    for feeds in samples:
        expected = run(session, feeds, interpreter.outputs)
        for name, tensor in interpreter(as_feeds([feeds])).items():
            worst = max(worst, _difference(expected[name], tensor.cpu().numpy()))
    return worst


def check_against_runtime(
    interpreter: Interpreter, model: bytes, samples: Sequence[Feeds], tolerance: float = _TOLERANCE
) -> None:
    """Make sure that a float graph's interpreter answers as ONNX Runtime does.

    Raises:
        UnsupportedOp: it does not, or an operator is used in a way that is not known here.
    """
    try:
        difference = largest_difference(interpreter, model, samples)
    except NotImplementedError as error:
        raise UnsupportedOp(f"it knows no {error}.") from None
    except (RuntimeError, ValueError, IndexError, TypeError, KeyError) as error:
        raise UnsupportedOp(f"torch cannot run it ({first_line(error)}).") from None
    if not difference <= tolerance:
        raise UnsupportedOp(
            f"torch's answers differ from ONNX Runtime's by "
            f"{difference:.2g} of the largest, and {tolerance:g} is allowed."
        )


def _difference(expected: Array, found: Array) -> float:
    if expected.shape != found.shape:
        return float("inf")
    if not expected.size:
        return 0.0
    if expected.dtype.kind != "f":
        return 0.0 if np.array_equal(expected, found) else float("inf")
    if not np.array_equal(np.isfinite(expected), np.isfinite(found)):
        return float("inf")
    finite = np.isfinite(expected)
    if not finite.any():
        return 0.0
    expected, found = expected[finite].astype(np.float64), found[finite].astype(np.float64)
    return float(np.abs(expected - found).max() / max(np.abs(expected).max(), _NEXT_TO_NOTHING))


def _check(nodes: Sequence[ir.Node]) -> None:
    missing = {
        f"{node.domain}.{node.op_type}" if node.domain else node.op_type
        for node in nodes
        if (node.domain, node.op_type) not in OPERATORS
    }
    if missing:
        names = ", ".join(sorted(missing))
        raise UnsupportedOp(f"it knows no {names}.")


def _read(nodes: Sequence[ir.Node]) -> list[str]:
    return [str(value.name) for node in nodes for value in node.inputs if value is not None]


def _last_uses(nodes: Sequence[ir.Node]) -> dict[int, list[str]]:
    """By node, the values that it is the last to read, parameters among them."""
    last: dict[str, int] = {}
    for index, node in enumerate(nodes):
        for value in (*node.inputs, *node.outputs):
            if value is not None and value.name:
                last[value.name] = index
    uses: dict[int, list[str]] = {}
    for name, index in last.items():
        uses.setdefault(index, []).append(name)
    return uses
