"""Operands that are one constant row, repeated to a shape that is computed."""

import numpy as np
import onnx_ir as ir

from optimizer.passes._graph import Array, Floats, constant, initializer, nodes, present
from optimizer.passes._part import ancestors, inputs_of, is_integer, session_of

_TRIALS = 3
_LONGEST = 6
# What is run to see the shapes must be a small part, as the embeddings at a network's start are.
_MOST_VALUES = 200


class FoldRepeatedRows(ir.passes.InPlacePass):
    """Replace an operand of Add or Mul that repeats one constant row by the row, which is broadcast.

    Exporters write token types, which are all 0 where the caller gives none, as a look-up with indices that
    are expanded from a buffer by some twenty operators on shapes.

    1. The operand depends on no content of the model's inputs, only on their shapes.
    2. Its rows are equal, always the same, and it does not widen the other operand. This is found by running
       both on inputs of several shapes, so the inputs that they need must be integers.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Look at every operand of every sum and product."""
        modified = False
        for node in nodes(model.graph, "Add", "Mul"):
            for index in (0, 1):
                value, other = present(node.inputs[index]), present(node.inputs[1 - index])
                row = _row(model, value, other)
                if row is not None:
                    node.replace_input_with(index, initializer(model.graph, f"{value.name}_row", row))
                    modified = True
                    break
        return ir.passes.PassResult(model, modified)


def _row(model: ir.Model, value: ir.Value, other: ir.Value) -> Floats | None:
    """The row that a value repeats, if rules 1 and 2 hold."""
    if value.producer() is None or constant(value) is not None or constant(other) is not None:
        return None
    if inputs_of(value, through_shapes=False) or not inputs_of(value, through_shapes=True):
        return None
    parts = {one: None for operand in (value, other) for one in ancestors(operand, through_shapes=True)}
    inputs = [one for one in parts if one.is_graph_input()]
    if len(parts) > _MOST_VALUES or not all(is_integer(one) and one.shape is not None for one in inputs):
        return None
    random = np.random.default_rng(0)
    rows = []
    try:
        session = session_of(model, [value, other], inputs)
        for _ in range(_TRIALS):
            repeated, beside = session.run(None, _feeds(inputs, random))
            rows.append(_repeated_row(repeated, beside))
    except Exception:  # noqa: BLE001 - onnxruntime raises many types; whatever it is, the operand is not understood
        return None
    first = rows[0]
    same = first is not None and all(row is not None and np.array_equal(row, first) for row in rows)
    return first if same else None


def _feeds(inputs: list[ir.Value], random: np.random.Generator) -> dict[str, Array]:
    """Zeros and ones, in shapes of which equal axes are equal."""
    lengths: dict[str, int] = {}
    feeds: dict[str, Array] = {}
    for one in inputs:
        shape = [
            axis
            if isinstance(axis, int)
            else lengths.setdefault(str(axis), int(random.integers(1, _LONGEST)))
            for axis in present(one.shape)
        ]
        feeds[str(one.name)] = random.integers(0, 2, shape).astype(present(one.dtype).numpy())
    return feeds


def _repeated_row(repeated: Array, beside: Array) -> Floats | None:
    if repeated.dtype != np.float32 or repeated.ndim < 2 or not repeated.size:
        return None
    rows = repeated.reshape(-1, repeated.shape[-1])
    widens = np.broadcast_shapes(repeated.shape, beside.shape) != beside.shape
    return rows[0] if not widens and (rows == rows[0]).all() else None
