"""Quantised values: whole numbers, held as floats so that gradients pass (fake quantisation).

Sums of products are exact up to 2**24, and beyond that as exact as float32: rounding that no test can see.
"""

import torch
from torch import Tensor

from optimizer.train.operators.base import MICROSOFT, Call, operator

_LEVELS = 255.0


@operator("QuantizeLinear")
def quantize(call: Call, data: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
    """To u8 or s8, whichever the zero point is."""
    axis = call.whole("axis", 1)
    low, high = (-128.0, 127.0) if zero is not None and zero.dtype == torch.int8 else (0.0, _LEVELS)
    offset = torch.zeros(()) if zero is None else _along(zero.float(), data, axis)
    # Beyond the range no gradient passes but the scale's (LSQ).
    return (call.rounding(data / _along(scale, data, axis)) + offset).clamp(low, high)


@operator("DequantizeLinear")
def dequantize(call: Call, stored: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
    """Back to float32."""
    axis = call.whole("axis", 1)
    whole = stored.float()
    if zero is not None:
        whole = whole - _along(zero.float(), whole, axis)
    return whole * _along(scale, whole, axis)


@operator("DynamicQuantizeLinear")
def quantize_dynamically(call: Call, data: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """To u8 in the range that is there: of each sample its own, as if it came alone."""
    if call.samples > 1 and data.shape[0] == call.samples:
        axes = tuple(range(1, data.ndim))
        low, high = data.amin(axes, keepdim=True), data.amax(axes, keepdim=True)
    else:
        low, high = data.amin(), data.amax()
    low, high = low.clamp(max=0.0), high.clamp(min=0.0)
    scale = (high - low) / _LEVELS
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    zero = (-low / scale).round().clamp(0, _LEVELS).detach()
    return (call.rounding(data / scale) + zero).clamp(0, _LEVELS), scale, zero


@operator("MatMulInteger")
def whole_product(
    _call: Call,
    left: Tensor,
    right: Tensor,
    left_zero: Tensor | None = None,
    right_zero: Tensor | None = None,
) -> Tensor:
    """Of whole numbers."""
    return _minus(left, left_zero) @ _minus(right, right_zero)


@operator("MatMulIntegerToFloat", domain=MICROSOFT)
def scaled_product(
    _call: Call,
    left: Tensor,
    right: Tensor,
    left_scale: Tensor,
    right_scale: Tensor,
    left_zero: Tensor | None = None,
    right_zero: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """Of whole numbers, as floats."""
    result = (_minus(left, left_zero) @ _minus(right, right_zero)) * (left_scale * right_scale)
    return result if bias is None else result + bias


@operator("MatMulNBits", domain=MICROSOFT)
def product_by_blocks(
    call: Call, data: Tensor, stored: Tensor, scale: Tensor, zeros: Tensor | None = None, *rest: Tensor
) -> Tensor:
    """By weights [columns, blocks, bytes] that are no parameters; activations are not rounded here."""
    if zeros is not None or rest:
        raise NotImplementedError("MatMulNBits with zero points, order or bias")
    whole = _unpacked(stored, call.whole("bits", 4))
    columns, blocks = whole.shape[:2]
    weight = (whole * scale.reshape(columns, blocks, 1)).reshape(columns, -1)[:, : call.whole("K", 0)]
    return data @ weight.T


@operator("GatherBlockQuantized", domain=MICROSOFT)
def gather_blocks(call: Call, stored: Tensor, indices: Tensor, scale: Tensor, *rest: Tensor) -> Tensor:
    """Rows of a table of u8, two 4-bit numbers each or one of 8 bits."""
    if rest or stored.dtype != torch.uint8 or call.whole("gather_axis", 0) != 0:
        raise NotImplementedError("GatherBlockQuantized of other types or axes")
    rows, bits = indices.reshape(-1).to(torch.int64), call.whole("bits", 4)
    whole = _unpacked(stored[rows], bits)
    width = call.whole("block_size", 128)
    floats = whole.reshape(len(rows), -1, width) * scale[rows][:, :, None]
    return floats.reshape(*indices.shape, -1)


def _unpacked(stored: Tensor, bits: int) -> Tensor:
    """Whole numbers around zero, from bytes; of two in a byte, the lower half comes first."""
    if bits == 8:
        return stored.float() - 128
    halves = torch.stack([stored & 15, stored >> 4], dim=-1)
    return halves.flatten(-2).float() - 8


def _minus(data: Tensor, zero: Tensor | None) -> Tensor:
    return data.float() if zero is None else data.float() - zero.float()


def _along(parameter: Tensor, data: Tensor, axis: int) -> Tensor:
    """A parameter by channel, so that it broadcasts against data; a single one as it is."""
    if parameter.numel() == 1:
        return parameter.reshape(())
    shape = [1] * data.ndim
    shape[axis] = -1
    return parameter.reshape(shape)
