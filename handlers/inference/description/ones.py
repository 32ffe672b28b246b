"""Inputs of ones that the model runs on, where there is no golden sample."""

from __future__ import annotations

from handlers.inference.dataplane import is_dynamic
from handlers.inference.errors import RequestError
from handlers.inference.ort import OrtError
from handlers.inference.tensor import ITEM_SIZES, Tensor, element_count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from handlers.inference.dataplane import Model

# Lengths for axes that vary; the first is taken that the model runs on. Text models take any, picture models
# multiples of 32, or the one height that they were trained on.
_LENGTHS = (8, 32, 48, 64, 224)
# One is in a table of two, is no mask of nothing, and has a logarithm.
_ONES = {
    "float16": b"\x00\x3c",
    "float32": b"\x00\x00\x80\x3f",
    "float64": b"\x00\x00\x00\x00\x00\x00\xf0\x3f",
}


def ones(model: Model, limit: int) -> dict[str, Tensor] | None:
    """One row for each input, or as many as the signature fixes; None if that is over ``limit`` values."""
    first = None
    for length in _LENGTHS:
        shapes = _shapes(model, length)
        if sum(map(element_count, shapes.values())) > limit:
            break
        inputs = {name: _tensor(model.inputs[name].dtype, shape) for name, shape in shapes.items()}
        if not _varies(model) or _runs(model, inputs):
            return inputs
        first = first or inputs
    return first


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


def _runs(model: Model, inputs: dict[str, Tensor]) -> bool:
    try:
        model.infer(inputs)
    except (RequestError, OrtError):
        return False
    return True


def _tensor(dtype: str, shape: list[int]) -> Tensor:
    size = element_count(shape)
    if dtype == "string":
        return Tensor(dtype, shape, [b"text"] * size)
    one = _ONES.get(dtype) or (1).to_bytes(ITEM_SIZES[dtype], "little")
    return Tensor(dtype, shape, memoryview(one * size))
