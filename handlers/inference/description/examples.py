"""A request that the model answers, in both protocols: the bundle's golden sample, or ones in its place."""

from __future__ import annotations

from struct import pack, unpack

from handlers.inference.description.golden import golden_sample
from handlers.inference.description.ones import ones
from handlers.inference.protocols.oip import DATATYPES
from handlers.inference.tensor import STRUCT_CODES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from bundle.served import TensorSpec
    from handlers.inference.dataplane import Model
    from handlers.inference.tensor import Tensor

# Texts of 2 MB at most: a browser and Lambda still carry two. A picture of 224 x 224 x 3 is within.
MAX_ELEMENTS = 200_000
# How many digits tell two values of a dtype apart, from few to certainly enough.
_DIGITS = {"float16": (3, 4, 5), "float32": (6, 7, 8, 9)}


class Example:
    """One request.

    Attributes:
        is_golden: whether its values are a golden sample's, and not ones.
        tfserving: the body of ``:predict``; rows where there are any, else columns.
        oip: the body of ``infer``.
    """

    __slots__ = ("is_golden", "oip", "tfserving")

    def __init__(self, model: Model, inputs: dict[str, Tensor], *, is_golden: bool) -> None:
        values = {name: _values(tensor) for name, tensor in inputs.items()}
        nested = {name: _nested(values[name], tensor.shape) for name, tensor in inputs.items()}
        self.is_golden = is_golden
        self.tfserving = _predict_body(model, nested)
        self.oip: dict[str, object] = {
            "inputs": [
                {
                    "name": name,
                    "shape": list(tensor.shape),
                    "datatype": DATATYPES[tensor.dtype],
                    "data": values[name],
                }
                for name, tensor in inputs.items()
            ]
        }


def example_of(model: Model) -> Example | None:
    """A golden sample, else ones; None where both would have more than ``MAX_ELEMENTS``."""
    golden = golden_sample(model, MAX_ELEMENTS)
    inputs = golden or ones(model, MAX_ELEMENTS)
    return Example(model, inputs, is_golden=golden is not None) if inputs else None


def _values(tensor: Tensor) -> list[object]:
    """The elements as JSON has them."""
    if isinstance(tensor.data, list):
        return [text.decode(errors="replace") for text in tensor.data]
    if tensor.dtype == "bool":
        return [bool(value) for value in tensor.data]
    values = unpack(f"<{tensor.size}{STRUCT_CODES[tensor.dtype]}", tensor.data)
    return [_decimal(value, tensor.dtype) for value in values] if "float" in tensor.dtype else list(values)


def _decimal(value: float, dtype: str) -> object:
    """The number with the fewest digits that is the same in ``dtype``; what is not finite by its name."""
    if value - value:
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"  # noqa: PLR0124
    code = f"<{STRUCT_CODES[dtype]}"
    for digits in _DIGITS.get(dtype, ()):
        short = float(f"{value:.{digits}g}")
        try:
            if unpack(code, pack(code, short))[0] == value:
                return short
        except OverflowError:
            continue  # the largest value, rounded up
    return value


def _nested(values: list[object], shape: Sequence[int]) -> object:
    if not shape:
        return values[0]
    for length in shape[:0:-1]:
        # An axis of no length leaves as many empty lists as the axes before it say, which no signature fixes.
        values = [values[i : i + length] for i in range(0, len(values), length)] if length else []
    return values


def _predict_body(model: Model, nested: dict[str, object]) -> dict[str, object]:
    only = next(iter(nested)) if len(nested) == 1 else None
    if not (_share_first_axis(model.inputs) and _share_first_axis(model.outputs)):
        return {"inputs": nested[only] if only else nested}
    if only:
        return {"instances": nested[only]}
    columns: dict[str, list[object]] = {
        name: list(rows) for name, rows in nested.items() if isinstance(rows, list)
    }
    rows = zip(*columns.values(), strict=True)
    return {"instances": [dict(zip(columns, row, strict=True)) for row in rows]}


def _share_first_axis(specs: dict[str, TensorSpec]) -> bool:
    """Whether they are certain to have rows, and as many."""
    return all(spec.shape for spec in specs.values()) and len({spec.shape[0] for spec in specs.values()}) == 1
