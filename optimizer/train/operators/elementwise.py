"""What treats each element by itself."""

from functools import reduce

import onnx_ir as ir
import torch
from torch import Tensor
from torch.nn import functional

from optimizer.train.operators.base import DTYPES, OPERATORS, Call, Function, operator

_SIMPLE: dict[str, Function] = {
    "Abs": torch.abs,
    "Add": torch.add,
    "And": torch.logical_and,
    "Ceil": torch.ceil,
    "Cos": torch.cos,
    "Equal": torch.eq,
    "Erf": torch.erf,
    "Exp": torch.exp,
    "Floor": torch.floor,
    "Greater": torch.gt,
    "GreaterOrEqual": torch.ge,
    "HardSwish": functional.hardswish,
    "Identity": torch.Tensor.view_as,
    "Less": torch.lt,
    "LessOrEqual": torch.le,
    "Log": torch.log,
    "Mul": torch.mul,
    "Neg": torch.neg,
    "Not": torch.logical_not,
    "Or": torch.logical_or,
    "Pow": torch.pow,
    "Reciprocal": torch.reciprocal,
    "Relu": torch.relu,
    "Round": torch.round,
    "Sigmoid": torch.sigmoid,
    "Sign": torch.sign,
    "Sin": torch.sin,
    "Softplus": functional.softplus,
    "Sqrt": torch.sqrt,
    "Sub": torch.sub,
    "Tanh": torch.tanh,
    "Where": torch.where,
}


def _plain(function: Function) -> Function:
    return lambda _call, *inputs: function(*inputs)


OPERATORS.update({("", name): _plain(function) for name, function in _SIMPLE.items()})


@operator("Identity", "Dropout")
def identity(_call: Call, data: Tensor, *_rest: Tensor) -> Tensor:
    """Dropout as inference has it."""
    return data


@operator("Cast")
def cast(call: Call, data: Tensor) -> Tensor:
    """Whole numbers of quantised values are floats here, and stay so on their way back to float."""
    return data.to(DTYPES[ir.DataType(call.whole("to", 1))])


@operator("CastLike")
def cast_like(_call: Call, data: Tensor, like: Tensor) -> Tensor:
    """To another's type."""
    return data.to(like.dtype)


@operator("Div")
def divide(_call: Call, left: Tensor, right: Tensor) -> Tensor:
    """Of integers, truncated."""
    return torch.div(left, right, rounding_mode=None if left.is_floating_point() else "trunc")


@operator("Mod")
def modulo(call: Call, left: Tensor, right: Tensor) -> Tensor:
    """As Python's, or as C's with ``fmod``."""
    return torch.fmod(left, right) if call.whole("fmod", 0) else torch.remainder(left, right)


@operator("Max")
def largest(_call: Call, *inputs: Tensor) -> Tensor:
    """Of several."""
    return reduce(torch.maximum, inputs)


@operator("Min")
def smallest(_call: Call, *inputs: Tensor) -> Tensor:
    """Of several."""
    return reduce(torch.minimum, inputs)


@operator("Sum")
def total(_call: Call, *inputs: Tensor) -> Tensor:
    """Of several."""
    return reduce(torch.add, inputs)


@operator("Clip")
def clip(call: Call, data: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    """Bounds are attributes before opset 11."""
    attributes = call.node.attributes
    if low is None and "min" in attributes:
        low = torch.tensor(call.number("min", 0.0))
    if high is None and "max" in attributes:
        high = torch.tensor(call.number("max", 0.0))
    if low is not None:
        data = torch.maximum(data, low.to(data.dtype))
    return data if high is None else torch.minimum(data, high.to(data.dtype))


@operator("HardSigmoid")
def hard_sigmoid(call: Call, data: Tensor) -> Tensor:
    """A clipped line."""
    return torch.clamp(call.number("alpha", 0.2) * data + call.number("beta", 0.5), 0, 1)


@operator("LeakyRelu")
def leaky_relu(call: Call, data: Tensor) -> Tensor:
    """With a slope below zero."""
    return functional.leaky_relu(data, call.number("alpha", 0.01))


@operator("Elu")
def elu(call: Call, data: Tensor) -> Tensor:
    """Exponential below zero."""
    return functional.elu(data, call.number("alpha", 1.0))


@operator("PRelu")
def parametric_relu(_call: Call, data: Tensor, slope: Tensor) -> Tensor:
    """Slopes below zero broadcast."""
    return torch.where(data < 0, data * slope, data)


@operator("Gelu", domain="com.microsoft")
@operator("Gelu")
def gelu(call: Call, data: Tensor) -> Tensor:
    """Exact, or by tanh."""
    return functional.gelu(data, approximate=call.text("approximate", "none"))


@operator("FastGelu", domain="com.microsoft")
def fast_gelu(_call: Call, data: Tensor, bias: Tensor | None = None) -> Tensor:
    """By tanh."""
    return functional.gelu(data if bias is None else data + bias, approximate="tanh")


@operator("QuickGelu", domain="com.microsoft")
def quick_gelu(call: Call, data: Tensor) -> Tensor:
    """By a sigmoid."""
    return data * torch.sigmoid(call.number("alpha", 1.702) * data)
