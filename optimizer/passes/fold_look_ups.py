"""What is done to each element of a look-up can be done to the table."""

import numpy as np
import onnx_ir as ir

from optimizer.passes._graph import (
    Floats,
    constant,
    initializer,
    insert,
    nodes,
    present,
    replace,
    weights,
)
from optimizer.passes._part import session_of

# fmt: off
_ELEMENTWISE = {
    "Abs", "Add", "Ceil", "Clip", "Cos", "Div", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid",
    "HardSwish", "LeakyRelu", "Log", "Max", "Min", "Mul", "Neg", "Pow", "Reciprocal", "Relu", "Round",
    "Sigmoid", "Sin", "Softplus", "Softsign", "Sqrt", "Sub", "Tanh",
}
# fmt: on


class FoldLookUps(ir.passes.InPlacePass):
    """Apply element-wise operators that follow a Gather of a table's rows to the table.

    1. Gather along axis 0 of a constant float32 or float64 matrix, by integers.
    2. Operators of the standard domain that act on each element alone, whose other inputs are constants that
       are the same for each row, and come from the same Gather where there are several that do.
    3. They lead to one value that others read; where there are more, the look-up stays: each would need a
       table.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Fold behind each Gather in turn."""
        modified = False
        for gather in nodes(model.graph, "Gather"):
            table, indices = weights(gather.inputs[0]), gather.inputs[1]
            if (
                table is None
                or table.ndim != 2
                or gather.attributes.get_int("axis", 0) != 0
                or indices is None
            ):
                continue
            end = _end(gather, table.shape[1])
            if end is None or not _fold(model, gather, end, table):
                continue
            modified = True
        return ir.passes.PassResult(model, modified)


def _end(gather: ir.Node, width: int) -> ir.Value | None:
    """The one value behind the operators that rule 2 names; None where there is none, or several."""
    start = gather.outputs[0]
    rank = start.shape.rank() if start.shape is not None else None
    inside = {start: None}
    for node in nodes(present(gather.graph), *_ELEMENTWISE):
        read = [value for value in node.inputs if value is not None]
        others = [value for value in read if value not in inside]
        if len(others) < len(read) and all(_same_for_rows(value, width, rank) for value in others):
            inside[node.outputs[0]] = None
    ends = [value for value in inside if _is_read_outside(value, inside)]
    return ends[0] if len(ends) == 1 and ends[0] is not start else None


def _same_for_rows(value: ir.Value, width: int, rank: int | None) -> bool:
    array = constant(value)
    if array is None or array.size not in (1, width) or array.dtype.kind != "f":
        return False
    # Of more axes than the look-up has, it would add some.
    fits = array.ndim <= (rank or 1)
    return fits and (array.size == 1 or array.shape[-1] == width)


def _is_read_outside(value: ir.Value, inside: dict[ir.Value, None]) -> bool:
    return value.is_graph_output() or any(usage.node.outputs[0] not in inside for usage in value.uses())


def _fold(model: ir.Model, gather: ir.Node, end: ir.Value, table: Floats) -> bool:
    start = gather.outputs[0]
    rank = start.shape.rank() if start.shape is not None else 2
    try:
        rows = table.reshape(*[1] * (rank - 2), *table.shape)
        (folded,) = session_of(model, [end], [start]).run(None, {str(start.name): rows})
    except Exception:  # noqa: BLE001 - onnxruntime raises many types; whatever it is, the look-up stays
        return False
    if folded.size != table.size or folded.dtype != table.dtype or not np.isfinite(folded).all():
        return False
    wanted = initializer(model.graph, f"{end.name}_rows", folded.reshape(table.shape))
    new = insert(gather, "Gather", [wanted, gather.inputs[1]], {"axis": 0}).outputs[0]
    replace(end, new)
    return True
