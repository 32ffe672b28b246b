"""Requests that the model answers, to start from.

Made of ones, not of the bundle's golden sample: an endpoint in Lambda never reads that, a picture's 46,080
floats are no text to edit, and the description is to be the same wherever the bundle is served.
"""

from __future__ import annotations

from handlers.inference.dataplane import is_dynamic
from handlers.inference.errors import RequestError
from handlers.inference.ort import OrtError
from handlers.inference.protocols.oip import DATATYPES
from handlers.inference.tensor import ITEM_SIZES, Tensor, element_count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bundle.served import TensorSpec
    from handlers.inference.dataplane import Model

# A text of 400 KB: a page or a document is still handled well. A picture of 224 x 224 x 3 is within.
MAX_ELEMENTS = 200_000
# Lengths for axes that vary; the first is taken that the model runs on. Text models take any, picture models
# multiples of 32, or the one height that they were trained on.
_LENGTHS = (8, 32, 48, 64, 224)
# One is in a table of two, is no mask of nothing, and has a logarithm.
_ONES = {
    "float16": b"\x00\x3c",
    "float32": b"\x00\x00\x80\x3f",
    "float64": b"\x00\x00\x00\x00\x00\x00\xf0\x3f",
}


class Example:
    """One row for each input, or as many as the signature fixes.

    Attributes:
        tfserving: the body of ``:predict``; rows where there are any, else columns.
        oip: the body of ``infer``.
    """

    __slots__ = ("oip", "tfserving")

    def __init__(self, model: Model, shapes: dict[str, list[int]]) -> None:
        specs = model.inputs
        nested = {name: _nested(shape, _value(specs[name])) for name, shape in shapes.items()}
        self.tfserving = _predict_body(model, nested)
        self.oip: dict[str, object] = {
            "inputs": [
                {
                    "name": name,
                    "shape": shape,
                    "datatype": DATATYPES[specs[name].dtype],
                    "data": [_value(specs[name])] * element_count(shape),
                }
                for name, shape in shapes.items()
            ]
        }


def example_of(model: Model) -> Example | None:
    """A request of ones; None where it would be longer than ``MAX_ELEMENTS``."""
    shapes: dict[str, list[int]] = {}
    for length in _LENGTHS:
        wanted = _shapes(model, length)
        if sum(map(element_count, wanted.values())) > MAX_ELEMENTS:
            break
        shapes = shapes or wanted
        if not _varies(model) or _runs(model, wanted):
            shapes = wanted
            break
    return Example(model, shapes) if shapes else None


def _shapes(model: Model, length: int) -> dict[str, list[int]]:
    """Each input's shape with one row, and ``length`` on the other axes that vary; one name, one length."""
    named: dict[str, int] = {}
    shapes = {}
    for name, spec in model.inputs.items():
        shape = []
        for place, axis in enumerate(spec.shape):
            if isinstance(axis, int) and not is_dynamic(axis):
                shape.append(axis)
            else:
                chosen = length if place else 1
                shape.append(
                    named.setdefault(axis, chosen) if isinstance(axis, str) and axis > "?" else chosen
                )
        shapes[name] = shape
    return shapes


def _varies(model: Model) -> bool:
    return any(is_dynamic(axis) for spec in model.inputs.values() for axis in spec.shape[1:])


def _runs(model: Model, shapes: dict[str, list[int]]) -> bool:
    try:
        model.infer({name: _tensor(model.inputs[name].dtype, shape) for name, shape in shapes.items()})
    except (RequestError, OrtError):
        return False
    return True


def _tensor(dtype: str, shape: list[int]) -> Tensor:
    size = element_count(shape)
    if dtype == "string":
        return Tensor(dtype, shape, [b"text"] * size)
    one = _ONES.get(dtype) or (1).to_bytes(ITEM_SIZES[dtype], "little")
    return Tensor(dtype, shape, memoryview(one * size))


def _value(spec: TensorSpec) -> object:
    return {"string": "text", "bool": True}.get(spec.dtype, 1)


def _nested(shape: list[int], value: object) -> object:
    for length in reversed(shape):
        value = [value] * length
    return value


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
